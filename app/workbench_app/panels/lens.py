"""The logit lens as a heat map of layers by positions, with the token that each layer would say."""

import numpy as np
import streamlit as st

from workbench.core import Result
from workbench_app import components, state
from workbench_app.components import Bar
from workbench_app.focus import focus, set_focus
from workbench_app.panels.prediction import target_ids
from workbench_app.wording import share

STATISTICS = {
    "Entropy": ("entropy", "entropy, nats"),
    "Probability of the target": ("target_probability", "probability of the target"),
    "Rank of the target": ("target_rank", "log10 of the target's rank"),
    "KL to the last layer": ("kl_to_final", "KL to the last layer, nats"),
    "Largest probability": ("top_probability", "largest probability"),
}


def show_panel(model: str, ids: tuple[int, ...], at: int) -> None:
    """Statistic and target on top, the map, and the selected cell beside the last layer."""
    tokenizer = state.shelf().get(model).tokenizer
    followed = target_ids(model)
    left, right = st.columns([4, 3], vertical_alignment="bottom")
    chosen = left.selectbox("Statistic", list(STATISTICS), key="pr_lens_statistic")
    with right:
        words = tokenizer.strings(followed[:1])[0] if followed else None
        track = st.toggle(
            f"Target: the followed token {words!r}" if words else "Target: the followed token (none yet)",
            value=bool(words),
            disabled=not words,
            key="pr_lens_track",
            help="Otherwise the target at each position is the token that really comes next.",
        )
    result = state.lens(model, ids, followed[0] if track and followed else None)
    rows = len(result.arrays["entropy"])
    layer = focus().layer
    row = 0 if layer is None else rows - 2 - layer
    selected = (max(0, min(rows - 1, row)), at)
    heat(result, tokenizer, ids, chosen, selected, at)
    cell(result, tokenizer, rows - 1 - selected[0], at)
    st.download_button(
        "Table per layer (CSV)",
        data=lambda: result.df("layers").to_csv(index=False),
        file_name="logit_lens.csv",
        on_click="ignore",
        icon=":material/download:",
    )


def heat(result: Result, tokenizer, ids: tuple[int, ...], chosen: str, selected: tuple[int, int], at: int) -> None:
    name, title = STATISTICS[chosen]
    values = result.arrays[name][::-1]
    values = np.log10(values) if name == "target_rank" else values
    high = 1.0 if "probability" in name else max(1e-6, float(np.nanmax(values, initial=0)))
    top_ids = result.arrays["top_ids"][::-1].reshape(-1, result.arrays["top_ids"].shape[-1])
    chances = result.arrays["top_probabilities"][::-1].reshape(top_ids.shape)
    words = dict(zip(np.unique(top_ids).tolist(), tokenizer.strings(np.unique(top_ids).tolist()), strict=True))
    tips = [
        [(words[token], round(float(p), 4)) for token, p in zip(row[:5], line[:5], strict=True)]
        for row, line in zip(top_ids.tolist(), chances, strict=True)
    ]

    def pick(place: list[int] | None) -> None:
        if place:
            set_focus(layer=len(values) - 2 - place[0], position=place[1])

    rows = [str(layer) for layer in range(len(values) - 2, -1, -1)] + ["emb"]
    components.heat(
        "pr_lens",
        f"{result.id}-{name}",
        values,
        rows,
        tokenizer.strings(list(ids)),
        title,
        low=0,
        high=high,
        cells=[words[row[0]] for row in top_ids.tolist()],
        tips=tips,
        column=at,
        selected=selected,
        on_pick=pick,
    )


def cell(result: Result, tokenizer, row: int, at: int) -> None:
    """What the selected layer and the last layer would say at this position, side by side."""
    last = len(result.arrays["entropy"]) - 1
    if row == last:
        st.caption("Click a cell to see what that layer would say beside what the last one says.")
        return
    for column, number, key in zip(st.columns(2, gap="large"), (row, last), ("pr_cell", "pr_last"), strict=True):
        name = "embedding" if number == 0 else f"layer {number - 1}"
        chances = result.arrays["top_probabilities"][number, at]
        texts = tokenizer.strings(result.arrays["top_ids"][number, at].tolist())
        bars = [Bar(text, float(p), share(float(p)), token=True) for text, p in zip(texts, chances, strict=True)]
        with column:
            what = "The last layer" if number == last else f"The {name}" if number == 0 else f"After {name}"
            components.bars(key, bars, title=f"{what}, position {at}")
