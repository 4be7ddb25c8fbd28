"""Codebooks: which codes a model with codebooks uses, in what contexts, which go together, what they do."""

import streamlit as st

from workbench.core import ConfigError, Progress, Result, Unit
from workbench.features import (
    Bench,
    CodeSearchConfig,
    FeatureScan,
    ScanConfig,
    member_of,
    scan as scan_text,
    topic_codes,
)
from workbench.recipes import scan_name
from workbench_app import benches, exhibit, frame, state, work
from workbench_app.focus import focus, set_focus
from workbench_app.offers import default_text, packed_text
from workbench_app.panels import code_browser, code_detail, code_pairs, peek, unit_card

TRAIN = "workbench codebook train --sites attn_z.20,mlp_out.21 --codes 1024 --k 8 --tokens 300000"


def as_python(name: str | None) -> str:
    lines = [
        "from workbench.core import Unit",
        "from workbench.features import code_contexts, code_use, scanned_relations",
        "from workbench.recipes import open_bench",
        "from workbench.workspace import Workspace",
        "",
        f"bench, scan = open_bench(Workspace(), {name!r})",
        "code_use(bench.model, bench.dictionaries, scan, next(iter(scan.members)))",
    ]
    if focus().unit:
        lines.append(f"code_contexts(bench.model, scan, Unit.parse({focus().unit!r}))")
    return "\n".join(lines)


def code_sets() -> list[str]:
    """The sets of the workspace that hold codebooks."""
    found = []
    for entry in state.workspace().list("dictionaries"):
        if entry.manifest is not None and not entry.problem:
            with frame.guard():
                if any(member.unit_kind == "code" for member in state.dictionaries(entry).values()):
                    found.append(entry.name)
    return found


def no_codebooks(name: str | None) -> None:
    """What is missing, and what there is instead."""
    frame.missing(
        f"{name} holds no codebooks." if name else "There are no codebooks for this model in this workspace.",
        "Codebooks replace what passes a site by a few codes out of many; they are trained inside the model. "
        "Features of other dictionaries are on the Features page.",
        TRAIN,
        "workbench reproduce codebooks",
        looked_in=state.workspace().folder("dictionaries"),
    )
    for other in code_sets():
        st.button(
            f"Open {frame.plain(other)}", key=f"cb_open_{other}", on_click=set_focus,
            kwargs={"dictionary": other, "unit": None},
        )  # fmt: skip


def not_scanned(name: str, found: Bench) -> None:
    """The job that reads a text once and keeps where every code stands."""
    with st.container(border=True):
        st.markdown("**No text was read with these codebooks yet.**")
        st.write("A scan reads a text once, all codebooks in the model, and keeps where every code stands.")
        command = f"workbench features scan {name}"
        st.code(command, language="bash")
        text = st.text_input("Text", value=default_text(found.model.ref.id), key="cb_scan_text")
        count = int(st.number_input("Sequences of 128 tokens", 8, 4096, 192, key="cb_scan_count"))
        made = work.run(
            f"scan {name} {text} {count} {found.model.ref.id}", "Scan now",
            lambda progress: scan_now(found, text, count, progress),
            name=f"scan {name}", command=command, about="About a minute for each 25,000 tokens on two cores.",
        )  # fmt: skip
        if made is not None:
            st.rerun()


def scan_now(found: Bench, text: str, count: int, progress: Progress) -> FeatureScan:
    path = state.workspace().path_of("stores", scan_name(found.dictionaries, found.model))
    part = packed_text(found.model, text).split("heldout")
    return scan_text(found.model, found.dictionaries, part, path, ScanConfig(sequences=count), progress, found.weights)


def topics(name: str, found: Bench) -> None:
    """Codes that fill the windows of a topic, which an expression tells."""
    pattern = st.text_input(
        "Expression that tells the topic", value=r"(?i)\b(war|army|battle\w*|soldiers?)\b", key="cb_topic",
        bind="query-params",
    )  # fmt: skip
    text = st.text_input("Text", value=default_text(found.model.ref.id), key="cb_topic_text")
    config = CodeSearchConfig(sequences=160)

    def search(progress: Progress) -> Result:
        part = packed_text(found.model, text).split("train")
        return topic_codes(found.model, found.dictionaries, part, {pattern: pattern}, config, found.weights, progress)

    result = work.run(
        f"topic {name} {text} {pattern} {found.model.ref.id}", "Search", search, name=f"topic codes of {name}",
        command=f"workbench codebook search '{pattern}' --by topic --name {name} --text {text} --sequences 160",
        about="Reads 160 windows of the text with the model.",
    )  # fmt: skip
    if result is not None:
        exhibit.figure(result, "cb_topic_figure")
        unit_card.linked(result, "codes", "cb_topic_codes")
        exhibit.notes(result)


def training(name: str) -> None:
    """How the codebooks were trained, and what they cost."""
    folder = state.workspace().open("dictionaries", name).path / "result"
    if not folder.is_dir():
        st.caption("These codebooks came without a record of their training.")
        return
    result = Result.load(folder)
    exhibit.figure(result, "cb_training")
    exhibit.table(result, "cb_losses", "losses")
    exhibit.table(result, "cb_sites", "sites")
    exhibit.notes(result)


def code_in(found: Bench) -> Unit | None:
    """The code in focus if this set has it; what is wrong with it otherwise."""
    if not focus().unit:
        return None
    try:
        unit = Unit.parse(str(focus().unit))
        if member_of(found.dictionaries, unit) in found.books:
            return unit
        problem = f"{unit} is no code"
    except ConfigError as error:
        problem = str(error)
    st.warning(frame.plain(f"The address names a code that is not here: {problem}"), icon=":material/link_off:")
    return None


def codes(name: str, found: Bench, scan: FeatureScan) -> None:
    code_browser.chooser(found)
    code_browser.show_panel(found, scan)
    unit = code_in(found)
    if unit is None:
        st.caption("A row of the table opens its code here.")
        return
    st.divider()
    code_detail.show_panel(name, unit, found, scan)


def current() -> Result | None:
    """What `Add to report` takes: the contexts of the code in focus, or how the codes are used."""
    name, model = benches.chosen_set(), frame.need_model()
    if name is None or model is None:
        return None
    found = benches.bench(model, name)
    scan = benches.scan(found)
    if scan is None:
        return None
    from workbench_app import code_facts

    unit = code_in(found)
    return code_facts.contexts(unit, found, scan) if unit else code_facts.use(next(iter(found.books)), found, scan)


chosen = benches.chosen_set()
frame.actions(as_python(chosen), title=f"Codes of {chosen}" if chosen else "", result=current)
with frame.guard():
    model = frame.need_model()
    opened = benches.bench(model, chosen) if model and chosen else None
    if opened is not None and chosen is not None and opened.books:
        name: str = chosen
        found: Bench = opened
        scan = benches.scan(found)
        draw = {
            "Codes": lambda: codes(name, found, scan) if scan else not_scanned(name, found),
            "Pairs": lambda: code_pairs.show_panel(found, scan) if scan else not_scanned(name, found),
            "Topics": lambda: topics(name, found),
            "Training": lambda: training(name),
        }
        made = st.tabs(list(draw), key="cb_view", on_change="rerun", bind="query-params")
        for tab, show in zip(made, draw.values(), strict=True):
            if tab.open:
                with tab, frame.guard():
                    show()
        peek.answer()
    elif model:
        no_codebooks(chosen)
