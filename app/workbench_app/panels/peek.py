"""The drawer that opens on any unit from any page: its card in small, and where to go with it."""

import streamlit as st

from workbench.core import Unit
from workbench_app import benches, components, frame, state
from workbench_app.components import Bar
from workbench_app.focus import change_focus, focus
from workbench_app.offers import default_model
from workbench_app.wording import share, show


def unit_button(unit: Unit, key: str, label: str = "Look closer") -> None:
    """A button that opens the drawer; for use anywhere but in another dialog."""
    if st.button(label, key=key, icon=":material/right_panel_open:"):
        drawer(unit)


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
        if st.button("Open page", icon=":material/open_in_full:", key=f"peek_open_{unit}", type="primary"):
            change_focus(unit=str(unit), dictionary=unit.artifact or "neurons")
            st.switch_page("views/features.py")
        if st.button("Steer it", icon=":material/tune:", key=f"peek_steer_{unit}"):
            change_focus(unit=str(unit), dictionary=unit.artifact or "neurons")
            st.session_state["ft_tab"] = "Steer"
            st.switch_page("views/features.py")
