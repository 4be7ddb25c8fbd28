"""Attention: every head at a glance, one head in full, heads ranked by what they do."""

import numpy as np
import streamlit as st

from workbench_app import components, state
from workbench_app.analysis import small_maps
from workbench_app.focus import focus, set_focus

SCORES = {
    "previous_token": "previous token",
    "duplicate_token": "earlier copies",
    "induction": "after earlier copies",
    "first_token": "first token",
    "entropy": "entropy, nats",
}


def show_panel(model: str, ids: tuple[int, ...], at: int) -> None:
    """The grid on top; the ranking and the large map below it."""
    patterns, result = state.attention(model, ids)
    layers, heads = patterns.shape[:2]
    layer = min(max(focus().layer or 0, 0), layers - 1)
    head = min(focus().head or 0, heads - 1)
    scores = np.stack([result.arrays[name] for name in SCORES], -1)
    st.caption(
        f"{layers * heads} heads, {layers} layers across; rows of a map are queries. "
        "Hover for scores, click for the large map."
    )
    maps = small_maps(patterns.reshape(-1, *patterns.shape[2:]))
    components.attn_grid(
        "pr_grid",
        result.id,
        maps.reshape(layers, heads, *maps.shape[1:]),
        list(SCORES.values()),
        scores,
        (layer, head),
        pick,
    )
    left, right = st.columns([2, 3], gap="large")
    with left:
        ranking(result)
    with right:
        large(model, ids, patterns[layer, head], layer, head, at)


def pick(place: list[int] | None) -> None:
    if place:
        set_focus(layer=place[0], head=place[1])


def ranking(result) -> None:
    """Heads sorted by a score; a row opens its map."""
    by = st.selectbox("Rank heads by", list(SCORES), format_func=lambda name: SCORES[name], key="pr_rank")
    table = result.df("heads").sort_values(by, ascending=by == "entropy", na_position="last").reset_index(drop=True)
    bar = {
        name: st.column_config.ProgressColumn(label, min_value=0, max_value=1, format="%.2f")
        for name, label in SCORES.items()
    }
    bar["entropy"] = st.column_config.NumberColumn(SCORES["entropy"], format="%.2f")

    def chosen() -> None:
        rows = st.session_state["pr_heads"]["selection"]["rows"]
        if rows:
            set_focus(layer=int(table["layer"][rows[0]]), head=int(table["head"][rows[0]]))

    st.dataframe(
        table,
        hide_index=True,
        height=min(430, 37 + 35 * len(table)),
        on_select=chosen,
        selection_mode="single-row",
        key="pr_heads",
        column_config=bar,
        column_order=["layer", "head", by, *(name for name in SCORES if name != by)],
        alt="Heads ranked by a score",
    )
    if table[by].isna().all():
        st.caption("No token of this prompt occurs twice, so this score does not exist here.")


def large(model: str, ids: tuple[int, ...], pattern: np.ndarray, layer: int, head: int, at: int) -> None:
    """One head's pattern, queries down, keys across; the future is empty."""
    hide = st.toggle("Hide the first token (where idle heads rest)", key="pr_hide_first")
    values = np.where(np.tri(len(ids), dtype=bool), pattern, np.nan)
    if hide:
        values[:, 0] = np.nan
    words = state.shelf().get(model).tokenizer.strings(list(ids))
    high = max(1e-6, float(np.nanmax(values))) if np.isfinite(values).any() else 1.0
    components.heat(
        "pr_map",
        f"{layer}.{head}.{hide}.{hash(ids)}",
        values,
        words,
        words,
        f"layer {layer}, head {head}: weight on the key",
        low=0,
        high=high,
        column=at,
        selected=None,
        on_pick=lambda place: set_focus(position=place[0]) if place else None,
    )
