"""The drawer that opens on any unit from any page: its card in small, and where to go with it."""

from dataclasses import replace

import streamlit as st

from workbench.core import ModelError, Unit
from workbench_app import benches, components, draft, frame, pinned, state
from workbench_app.components import Bar
from workbench_app.focus import change_focus, focus
from workbench_app.offers import default_model
from workbench_app.wording import share, show


def ask(unit: str) -> None:
    """Have the drawer opened on a unit in this run; for callbacks, in which no dialog can open."""
    st.session_state["peek"] = unit


def answer() -> None:
    """Open the drawer if it was asked for; at the end of a panel."""
    if unit := st.session_state.pop("peek", ""):
        drawer(Unit.parse(unit))


@st.dialog("Unit", position="right")
def drawer(unit: Unit) -> None:
    """Label, density, promoted tokens, three examples."""
    with frame.guard():
        model = focus().model or default_model()
        label = state.database().labels(unit.artifact).get(unit, "")
        st.markdown(f"**{frame.plain(label or str(unit))}**")
        st.caption(frame.plain(str(unit)))
        if model in state.shelf().names():
            found = benches.bench(model, unit.artifact or "neurons")
            scan = benches.scan(found)
            if scan is not None:
                result = benches.of_unit("occurrences", unit, found, scan)
                st.caption(f"density {share(result.scalars['density'])} · largest {show(result.scalars['largest'])}")
                rows = [row for row in result.tables["examples"] if row["set"] == "top"][:3]
                components.examples(f"peek_{unit}", [{**row, "source": row["document"]} for row in rows])
            (row,) = benches.of_unit("effects", unit, found, scan).tables["unit_effects"]
            pairs = [*row["promoted"][:5], *reversed(row["suppressed"][:3])]
            bars = [Bar(str(text), float(value), show(value), token=True) for text, value in pairs]
            components.bars(f"peek_writes_{unit}", bars, signed=True)
        change_focus(unit=str(unit), dictionary=set_of(unit))
        st.page_link(f"views/{page_of(unit)}.py", label="Open page", icon=":material/open_in_full:")
        acts(unit)


def page_of(unit: Unit) -> str:
    """The page that shows a unit in full."""
    return "codebooks" if unit.kind == "code" else "features"


def set_of(unit: Unit) -> str:
    """The set that a unit belongs to, as the address names it."""
    return unit.artifact or "neurons"


def acts(unit: Unit) -> None:
    """Pin it, steer by it, take it into the report."""
    with st.container(horizontal=True):
        held = unit in pinned.units()
        st.button(
            "Unpin" if held else "Pin", key="peek_pin", icon=f":material/keep{'_off' if held else ''}:",
            on_click=pinned.switch, args=(unit,), help="The Features page lists what is pinned.",
        )  # fmt: skip
        st.button(
            "Add to steering", key="peek_steer", icon=":material/tune:", on_click=_steer, args=(unit,),
            help="Puts it into the list of edits of the steering playground.",
        )  # fmt: skip
        st.button("Add to report", key="peek_report", icon=":material/post_add:", on_click=_report, args=(unit,))


def _steer(unit: Unit) -> None:
    text, listed = str(unit), st.session_state.setdefault("st_added", [])
    if text not in listed:
        listed.append(text)
    st.toast(f"In the list of edits: {frame.plain(text)}", icon=":material/tune:")


def _report(unit: Unit) -> None:
    """Where the unit fires if a text was scanned, else what it writes; the block's address is that of its page."""
    with frame.guard():
        model, name = focus().model or default_model(), set_of(unit)
        if model not in state.shelf().names():
            raise ModelError(f"{model} is not loaded", hint="load it in the sidebar")
        found = benches.bench(model, name)
        scan = benches.scan(found)
        result = benches.of_unit("effects" if scan is None else "occurrences", unit, found, scan)
        shown = replace(focus(), model=model, unit=str(unit), dictionary=name)
        python = (
            "from workbench.core import Unit\nfrom workbench.features import feature_card\n"
            "from workbench.recipes import open_bench\nfrom workbench.workspace import Workspace\n\n"
            f"bench, scan = open_bench(Workspace(), {name!r}, model={model!r})\n"
            f"feature_card(bench, scan, Unit.parse({str(unit)!r}))"
        )
        draft.add(f"Unit {unit}", address=frame.link(page_of(unit), shown), python=python, result=result)
        st.toast(f"Added to the report draft: {frame.plain(str(unit))}", icon=":material/post_add:")
