"""Passages of a known text as prompts."""

from collections.abc import Callable
from itertools import islice

import numpy as np
import streamlit as st

from workbench.core import WorkbenchError
from workbench.data import open_text
from workbench_app.frame import plain
from workbench_app.offers import default_text

DOCUMENTS = 400  # read at most
WORDS = 16  # of a prompt


@st.cache_resource(max_entries=2, show_spinner=False)
def passages(text: str) -> tuple[str, ...]:
    """The beginnings of the paragraphs of a text that are long enough."""
    found = []
    for _, document in islice(open_text(text).documents(), DOCUMENTS):
        lines = (line.split() for line in document.splitlines())
        found += [" ".join(words[:WORDS]) for words in lines if len(words) > WORDS // 2]
    return tuple(found)


def button(model: str, run: Callable[[str], object]) -> None:
    """Random: another passage at every press, the same ones in the same order in every session."""

    def draw() -> None:
        turn = st.session_state["pr_drawn"] = st.session_state.get("pr_drawn", -1) + 1
        try:
            some = passages(default_text(model))
        except WorkbenchError as error:
            st.session_state["pr_no_sample"] = str(error)
            return
        if some:
            run(some[int(np.random.default_rng(turn).integers(len(some)))])

    st.button(
        "Random", key="pr_random", icon=":material/casino:", type="tertiary", on_click=draw,
        help=f"A passage of {plain(default_text(model))}.",
    )  # fmt: skip
    if problem := st.session_state.pop("pr_no_sample", ""):
        st.warning(plain(problem), icon=":material/cloud_off:")
