"""Two tokens whose logits are held against each other: boxes to name them, and what stands in when they are empty."""

import numpy as np
import streamlit as st

from workbench_app import frame, state
from workbench_app.analysis import largest

KEYS = {"pr_target": "Target", "pr_foil": "Against"}


def choose(model: str, best: tuple[int, int]) -> tuple[int, int]:
    """Target and foil as token ids; an empty box stands for `best`.

    The boxes share their words with `Follow a token` and with every tab that asks for a pair.
    """
    tokenizer = state.shelf().get(model).tokenizer
    for column, (key, label), token in zip(st.columns(2), KEYS.items(), best, strict=True):
        word = tokenizer.strings([token])[0]
        told = column.text_input(
            label, key=key, bind="query-params", placeholder=repr(word), help="One token; a leading space counts."
        )
        if told and len(ids := tokenizer.encode(told)) > 1:
            pieces = " ".join(tokenizer.strings(ids)[:6])
            column.caption(frame.plain(f"{len(ids)} tokens ({pieces!r}); the first counts."))
    return named(model, best)


def named(model: str, best: tuple[int, int]) -> tuple[int, int]:
    """The pair that the boxes name; the foil is another token than the target whatever they say."""
    encode = state.shelf().get(model).tokenizer.encode
    told = [st.session_state.get(key) or "" for key in KEYS]
    target, foil = ((encode(text) or [token])[0] if text else token for text, token in zip(told, best, strict=True))
    return target, foil if foil != target else next(token for token in best if token != target)


def likeliest(logits: np.ndarray, instead: np.ndarray | None = None) -> tuple[int, int]:
    """The token that is expected most, and the one that other logits expect in its place, or the second best."""
    first, second = map(int, largest(logits, 2))
    other = first if instead is None else int(largest(instead, 1)[0])
    return first, second if other == first else other
