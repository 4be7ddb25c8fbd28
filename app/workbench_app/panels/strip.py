"""The tokens of the prompt, coloured by how expected they were; a click selects the position of every tab."""

import streamlit as st

from workbench_app import components, state
from workbench_app.analysis import MEASURES
from workbench_app.focus import set_focus
from workbench_app.wording import show


def show_panel(model: str, ids: tuple[int, ...], at: int) -> None:
    """The measure to colour by, and the flow of tokens."""
    done, read = state.prompt_pass(model, ids), state.reading(model, ids)
    measure = st.segmented_control(
        "Colour", list(MEASURES), default="surprise", required=True, key="pr_measure", label_visibility="collapsed"
    )
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
