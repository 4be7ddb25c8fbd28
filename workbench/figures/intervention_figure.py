"""Plotly figures of interventions beside their controls, and of the strongest paths of a graph."""

import plotly.graph_objects as go

from workbench.core import Result, register

from .template import figure
from .theme import NEGATIVE, NEUTRAL, POSITIVE
from .wording import plain


@register("figure", "interventions")
def interventions(result: Result) -> go.Figure:
    """Predicted against measured change of the metric: tests, random groups, and the change with its sign turned."""
    fig = figure(title="change of the metric: predicted against measured")
    tests, controls = (
        [row for row in result.tables.get(name, []) if row["predicted"] is not None and row["measured"] is not None]
        for name in ("tests", "controls")
    )
    rows = [*tests, *controls]
    reach = max((abs(row[key]) for row in rows for key in ("predicted", "measured")), default=1.0) or 1.0
    line = {"color": NEUTRAL, "dash": "dash", "width": 1}
    fig.add_scatter(
        x=[-reach, reach], y=[-reach, reach], mode="lines", line=line, hoverinfo="skip", name="as predicted"
    )
    parts = (
        ("random features", NEUTRAL, "x", [row for row in controls if row["control"].startswith("random")]),
        ("wrong sign", NEGATIVE, "triangle-down", [row for row in controls if row["control"] == "wrong sign"]),
        ("tests", POSITIVE, "circle", tests),
    )
    for name, colour, symbol, found in parts:
        if found:
            fig.add_scatter(
                x=[row["predicted"] for row in found],
                y=[row["measured"] for row in found],
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 9},
                hovertext=[plain(f"{row['test']}, {row['mode']}") for row in found],
            )
    return fig.update_xaxes(title="predicted change").update_yaxes(title="measured change")


@register("figure", "graph_paths")
def graph_paths(result: Result) -> go.Figure:
    """The share of the flow that each listed path carries."""
    rows = result.tables.get("paths", [])[::-1]
    flow = result.scalars.get("flow") or 1.0
    fig = figure(title="strongest paths", height=max(260, 34 * len(rows) + 120), showlegend=False)
    fig.add_bar(
        x=[row["sign"] * row["strength"] / flow for row in rows],
        y=[plain(" → ".join(row["nodes"]), 90) for row in rows],
        orientation="h",
        marker={"color": [POSITIVE if row["sign"] > 0 else NEGATIVE for row in rows]},
    )
    return fig.update_xaxes(title="share of the flow between the two nodes, signed", tickformat=".0%")
