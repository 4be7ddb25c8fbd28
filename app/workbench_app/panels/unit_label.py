"""The label of a unit: what people call it, how sure they are, why; what it was called before; what a program says."""

import streamlit as st

from workbench.core import Unit
from workbench_app import frame, state

SURE = {"unsure": 0.25, "likely": 0.6, "sure": 0.9}


def show_panel(unit: Unit) -> None:
    """Editor on top, history and the automatic label below."""
    database = state.database()
    history = database.label_history(unit)
    current = history[0] if history else None
    key = f"ft_label_{unit}"

    def save() -> None:
        confidence = SURE.get(st.session_state.get(f"{key}_sure") or "")
        text, note = st.session_state[key].strip(), st.session_state[f"{key}_note"].strip()
        before = (current.text, current.confidence, current.note) if current else ("", None, "")
        if (text, confidence, note) != before:
            database.set_label(unit, text, confidence, note)

    def undo() -> None:
        database.undo_label(unit)
        for part in ("", "_sure", "_note"):
            st.session_state.pop(f"{key}{part}", None)

    st.markdown("**Label**")
    st.text_input(
        "Label", value=current.text if current else "", key=key, on_change=save, placeholder="what it stands for",
        label_visibility="collapsed", max_chars=300,
    )  # fmt: skip
    sure = next((word for word, value in SURE.items() if current and current.confidence == value), None)
    st.segmented_control("How sure", list(SURE), default=sure, key=f"{key}_sure", on_change=save)
    st.text_area("Note", value=current.note if current else "", key=f"{key}_note", on_change=save, height=80)
    st.button("Undo", icon=":material/undo:", disabled=not history, on_click=undo, key=f"{key}_undo")
    if history:
        with st.expander(f"History ({len(history)})"):
            for label in history[:20]:
                said = frame.plain(label.text) or "*label taken away*"
                st.caption(f"{said} · {frame.plain(label.author)}, {label.created[:16].replace('T', ' ')}")
    automatic = database.automatic_labels(unit.artifact).get(unit)
    if automatic is not None:
        st.markdown(f"**{frame.plain(automatic.source)}** says")
        st.markdown(frame.plain(automatic.text))
        st.caption(f"F1 on held-out text {automatic.score:.2f}")
    else:
        st.caption("No program has labelled this unit.")
