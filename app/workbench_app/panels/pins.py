"""The pinned units: a list that opens each of them."""

import streamlit as st

from workbench_app import frame, pinned, state
from workbench_app.focus import set_focus
from workbench_app.panels import peek


def show_panel() -> None:
    """A popover with every pinned unit; nothing while none is."""
    held = pinned.units()
    if not held:
        return
    labels = state.database().labels()
    with st.popover(f"Pinned ({len(held)})", icon=":material/keep:"):
        for unit in held:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.button(
                    frame.plain(labels.get(unit) or str(unit)), key=f"pin_open_{unit}", type="tertiary",
                    on_click=set_focus, kwargs={"unit": str(unit), "dictionary": peek.set_of(unit)},
                )  # fmt: skip
                st.button(
                    "Unpin", key=f"pin_drop_{unit}", type="tertiary", icon=":material/keep_off:",
                    on_click=pinned.switch, args=(unit,),
                )  # fmt: skip
