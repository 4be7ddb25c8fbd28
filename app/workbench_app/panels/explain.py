"""From a prediction to its circuit: a link to the Circuits page whose address fills in the dialog of a new graph."""

import streamlit as st

from workbench.figures import clip
from workbench_app import frame, state
from workbench_app.focus import focus

from . import tracing

LONGEST = 2000  # letters of a prompt and two tokens that an address carries


def link(model: str, ids: tuple[int, ...], at: int, pair: tuple[int, int]) -> None:
    """Offer to trace what writes one token rather than another after a position."""
    words = state.shelf().get(model).tokenizer.strings
    target, foil = words(pair[:1])[0], words(pair[1:])[0]
    prompt = prompt_to(model, ids, at)
    asked = {"m": model, **tracing.as_query(prompt, target, foil)}
    long = sum(map(len, asked.values())) > LONGEST
    st.page_link(
        "views/circuits.py", label="Explain this prediction", icon=":material/hub:", disabled=long,
        query_params={} if long else asked,
        help=frame.plain(f"Trace a graph of {clip(target, 80)!r} against {clip(foil, 80)!r} on the Circuits page."),
    )  # fmt: skip


def prompt_to(model: str, ids: tuple[int, ...], at: int) -> str:
    """The prompt as far as a position: a trace explains what comes at its end."""
    if at == len(ids) - 1:
        return focus().prompt
    tokenizer = state.shelf().get(model).tokenizer
    return tokenizer.decode(ids[int(ids[0] == tokenizer.bos_id) : at + 1])
