"""Features: find a unit of a dictionary, a codebook or the model itself, and see it in full."""

import streamlit as st

from workbench.core import ConfigError, Result, Unit
from workbench.features import Bench, FeatureScan, ScanConfig, member_of, scan as scan_text
from workbench.recipes import NEURONS, SCANNED_NEURONS, scan_name
from workbench_app import benches, frame, state, work
from workbench_app.focus import focus
from workbench_app.offers import default_model, default_text, packed_text
from workbench_app.panels import pins, unit_browser, unit_card


def as_python(model: str, name: str | None) -> str:
    lines = [
        "from workbench.core import Unit",
        "from workbench.features import feature_card",
        "from workbench.recipes import open_bench",
        "from workbench.workspace import Workspace",
        "",
        f"bench, scan = open_bench(Workspace(), {name!r}, model={model!r})",
    ]
    if focus().unit:
        lines.append(f"feature_card(bench, scan, Unit.parse({focus().unit!r}))")
    return "\n".join(lines)


def unit_in(found: Bench) -> Unit | None:
    """The unit in focus if this set has it; what is wrong with it otherwise."""
    if not focus().unit:
        return None
    try:
        unit = Unit.parse(str(focus().unit))
        member_of(found.dictionaries, unit)
    except ConfigError as error:
        st.warning(frame.plain(f"The address names a unit that is not here: {error}"), icon=":material/link_off:")
        return None
    return unit


def current_card() -> Result | None:
    """What `Add to report` takes: where the unit fires."""
    model, name = focus().model or default_model(), benches.chosen_set()
    if name is None or not focus().unit:
        return None
    found = benches.bench(model, name)
    scan = benches.scan(found)
    return benches.of_unit("occurrences", Unit.parse(str(focus().unit)), found, scan) if scan else None


def no_dictionary() -> None:
    wanted = focus().dictionary
    frame.missing(
        f"{wanted} is not in this workspace." if wanted else "There is no dictionary for this model in this workspace.",
        "Train one on the model's own activations, import one, or look at the model's own neurons "
        "(the dictionary chip above offers them).",
        "workbench train --help",
        "workbench import --help",
        looked_in=state.workspace().folder("dictionaries"),
    )


def not_scanned(name: str, found: Bench) -> None:
    """What a scan is for, and the job that makes one."""
    with st.container(border=True):
        st.markdown("**No text was scanned with these units yet.**")
        st.write("A scan reads a text once and keeps where every unit fires. Until then the searches by token and by "
                 "text work, and so do the panels about weights.")  # fmt: skip
        command = f"workbench features scan {name}" + (f" --model {found.model.ref.id}" if name == NEURONS else "")
        st.code(command, language="bash")
        text = st.text_input("Text", value=default_text(found.model.ref.id), key="ft_scan_text")
        count = int(st.number_input("Sequences of 128 tokens", 8, 4096, 192, key="ft_scan_count"))
        made = work.run(
            f"scan {name} {text} {count} {found.model.ref.id}", "Scan now",
            lambda progress: scan_now(name, found, text, count, progress),
            name=f"scan {name}", command=command, about="About a minute for each 25,000 tokens on two cores.",
        )  # fmt: skip
        if made is not None:
            st.rerun()


def scan_now(name: str, found: Bench, text: str, count: int, progress) -> FeatureScan:
    from workbench.circuits import neuron_set

    model = found.model
    part = packed_text(model, text).split("heldout")
    members = neuron_set(model, SCANNED_NEURONS, name=NEURONS) if name == NEURONS else found.dictionaries
    path = state.workspace().path_of("stores", scan_name(members, model))
    return scan_text(model, members, part, path, ScanConfig(sequences=count), progress, found.weights)


chosen = focus().model or default_model()
title = f"Unit {focus().unit}" if focus().unit else ""
frame.actions(as_python(chosen, benches.chosen_set()), title=title, result=current_card)
with frame.guard():
    model = frame.need_model()
    if model:
        name = benches.chosen_set()
        if name is None:
            no_dictionary()
        else:
            found = benches.bench(model, name)
            scan = benches.scan(found)
            pins.show_panel()
            if scan is None:
                not_scanned(name, found)
            with frame.guard():
                unit_browser.show_panel(name, found, scan)
            unit = unit_in(found)
            if unit is not None:
                st.divider()
                unit_card.show_panel(name, unit, found, scan)
            elif scan is not None and st.session_state.get("ft_order") and st.session_state.get("ft_mode") != "Map":
                st.caption("A row of the table opens its unit here.")
