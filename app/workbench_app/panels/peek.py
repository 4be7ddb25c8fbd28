"""The drawer that opens on any unit from any page: its card in small, and where to go with it."""

import streamlit as st

from workbench.core import Unit
from workbench_app import benches, components, frame, state
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
        change_focus(unit=str(unit), dictionary=unit.artifact or "neurons")
        st.page_link("views/features.py", label="Open page", icon=":material/open_in_full:")
