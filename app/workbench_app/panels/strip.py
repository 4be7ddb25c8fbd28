"""The tokens of the prompt, coloured by how expected they were; a click selects the position of every tab."""

import streamlit as st

from workbench_app import components, frame, state, token_view
from workbench_app.analysis import MEASURES
from workbench_app.focus import focus, set_focus
from workbench_app.wording import show


def show_panel(model: str, ids: tuple[int, ...], at: int) -> None:
    """The measure to colour by, and the flow of tokens."""
    done, read = state.prompt_pass(model, ids), state.reading(model, ids)
    with st.container(horizontal=True, vertical_alignment="center"):
        measure = st.segmented_control(
            "Colour", list(MEASURES), default="surprise", required=True, key="pr_measure", label_visibility="collapsed"
        )
        st.button(
            "Tokens to report", key="pr_tokens_to_report", icon=":material/post_add:", type="tertiary",
            on_click=to_report, args=(model, ids, measure), help="Puts this strip into the report draft.",
        )  # fmt: skip
    values = getattr(read, measure)
    words = state.shelf().get(model).tokenizer.strings
    tops = [
        list(zip(words(row.tolist()), map(float, chances), strict=True))
        for row, chances in zip(read.top_ids, read.top_probabilities, strict=True)
    ]
    facts = [
        [
            ("surprise, nats", show(read.surprise[t])),
            ("rank", show(read.rank[t])),
            ("entropy after it", show(read.entropy[t])),
        ]
        for t in range(len(done.ids))
    ]
    components.tokens(
        "pr_tokens",
        f"{done.id}-{measure}",
        done.tokens,
        done.ids,
        done.special,
        values,
        MEASURES[measure],
        facts,
        tops,
        at,
        lambda position: set_focus(position=position),
    )


def to_report(model: str, ids: tuple[int, ...], measure: str) -> None:
    """Put the strip at the end of the report draft."""
    with frame.guard():
        made = token_view.add(model, ids, measure, f"Tokens of: {focus().prompt[:60]}", address=frame.link())
        st.toast(f"Added to the report draft: {frame.plain(made)}", icon=":material/post_add:")
