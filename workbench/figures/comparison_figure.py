"""Plotly figures of two graphs compared and of several merged."""

import plotly.graph_objects as go

from workbench.core import Result, register

from .template import figure
from .theme import NEGATIVE, NEUTRAL, POSITIVE
from .wording import plain


@register("figure", "graph_comparison")
def graph_comparison(result: Result) -> go.Figure:
    """Every node's effect in the one graph against its effect in the other."""
    rows = result.tables.get("nodes", [])
    fig = figure(title="total effect of each node", showlegend=False)
    reach = max((abs(row[key]) for row in rows for key in ("effect_first", "effect_second")), default=1.0)
    line = {"color": NEUTRAL, "dash": "dash", "width": 1}
    fig.add_scatter(x=[-reach, reach], y=[-reach, reach], mode="lines", line=line, hoverinfo="skip")
    agree = [row["effect_first"] * row["effect_second"] >= 0 for row in rows]
    fig.add_scatter(
        x=[row["effect_first"] for row in rows],
        y=[row["effect_second"] for row in rows],
        mode="markers",
        marker={"color": [POSITIVE if same else NEGATIVE for same in agree]},
        customdata=[row["node"] for row in rows],
        hovertext=[plain(row["node"]) for row in rows],
    )
    first, second = result.params.get("prompts", ["first", "second"])
    return fig.update_xaxes(title=plain(first, 60)).update_yaxes(title=plain(second, 60))


@register("figure", "graph_merge")
def graph_merge(result: Result) -> go.Figure:
    """The strongest edges over prompts, mean and bootstrap interval."""
    rows = result.tables.get("edges", [])[:30][::-1]
    fig = figure(title="edges over prompts (share of edge influence)", height=max(320, 22 * len(rows) + 120))
    fig.add_scatter(
        x=[row["mean"] for row in rows],
        y=[plain(f"{row['source']} to {row['target']}") for row in rows],
        mode="markers",
        error_x={
            "array": [row["high"] - row["mean"] for row in rows],
            "arrayminus": [row["mean"] - row["low"] for row in rows],
        },
        marker={"color": [POSITIVE if row["mean"] > 0 else NEGATIVE for row in rows]},
        hovertext=[f"in {row['in']} prompts, same sign in {row['same_sign']:.0%} of them" for row in rows],
        showlegend=False,
    )
    return fig.update_xaxes(title="mean and bootstrap interval")
