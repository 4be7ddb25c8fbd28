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


@register("figure", "top_units")
def top_units(result: Result) -> go.Figure:
    """The task's score with the k most varying units kept, features and neurons, random units dotted."""
    fig = figure(title=plain(f"{result.params['task']}: layer {result.params['layer']}, top k units kept"))
    for name, colour in (("transcoder features", POSITIVE), ("neurons", NEGATIVE)):
        rows = [row for row in result.tables.get("curve", []) if row["units"] == name]
        line = {"color": colour}
        x = [row["k"] + 1 for row in rows]
        fig.add_scatter(x=x, y=[row["score"] for row in rows], name=name, mode="lines+markers", line=line)
        drawn = [(row["k"] + 1, row["random_mean"]) for row in rows if row.get("random_mean") == row.get("random_mean")]
        if drawn:
            dotted = {**line, "dash": "dot"}
            fig.add_scatter(x=[p[0] for p in drawn], y=[p[1] for p in drawn], name=f"random {name}", line=dotted)
    fig.add_hline(y=result.scalars["full"], line={"color": NEUTRAL, "dash": "dash", "width": 1})
    return fig.update_xaxes(type="log", title="units kept + 1").update_yaxes(title=plain(result.params["metric"]))
