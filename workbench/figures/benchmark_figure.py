"""A plotly figure of a benchmark: every case's time over its floor's, in the rounds' quartiles."""

from typing import Any

import plotly.graph_objects as go

from workbench.core import Result, register

from .template import figure
from .theme import NEGATIVE, NEUTRAL, POSITIVE
from .wording import plain

BAR = 22
"""Pixels of height for each case."""


@register("figure", "benchmark")
def benchmark(result: Result) -> go.Figure:
    """Ratio to the floor by operation and shape: foreign ways grey, own ones blue, orange if slower than plain."""
    rows = [row for table in result.tables.values() for row in table if row.get("ratio_floor") is not None]
    rows = [row for row in rows if row["case"] != row["floor"]]
    fig = figure(
        height=max(200, BAR * len(rows) + 120), xaxis_title="time / time of the floor", yaxis_autorange="reversed"
    )
    fig.add_bar(
        orientation="h",
        x=[row["ratio_floor"] for row in rows],
        y=[[_work(row) for row in rows], [plain(row["case"]) for row in rows]],
        marker={"color": [_colour(row) for row in rows]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [row["ratio_floor_high"] - row["ratio_floor"] for row in rows],
            "arrayminus": [row["ratio_floor"] - row["ratio_floor_low"] for row in rows],
        },
        hovertext=[f"{row['ms']:.3g} ms; floor: {row['floor']}" for row in rows],
        showlegend=False,
    )
    return fig.add_vline(x=1, line={"color": NEUTRAL, "dash": "dash", "width": 1})


def _work(row: dict[str, Any]) -> str:
    return plain(f"{row['operation']}: {row['shape']}" + (" (too noisy to tell)" if row["noisy"] else ""))


def _colour(row: dict[str, Any]) -> str:
    if row["backend"] not in ("cpu", "triton", "reference"):
        return NEUTRAL
    return POSITIVE if row["ratio_plain"] is None or row["ratio_plain"] <= 1 else NEGATIVE
