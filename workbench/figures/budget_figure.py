"""Plotly figure of what the app takes beside what it may take."""

import plotly.graph_objects as go

from workbench.core import Result, register

from .template import figure
from .theme import NEGATIVE, NEUTRAL, POSITIVE
from .wording import plain, show


@register("figure", "app_budget")
def app_budget(result: Result) -> go.Figure:
    """Each row as a share of its target; what was not measured is left out."""
    rows = [row for row in result.tables.get("budget", []) if row["measured"] is not None and row["target"]][::-1]
    fig = figure(title="measured as a share of the target", height=max(320, 26 * len(rows) + 120), showlegend=False)
    fig.add_bar(
        x=[row["measured"] / row["target"] for row in rows],
        y=[plain(row["what"]) for row in rows],
        orientation="h",
        marker={"color": [POSITIVE if row["within"] else NEGATIVE for row in rows]},
        hovertext=[plain(f"{show(row['measured'])} of {show(row['target'])} {row['unit']}") for row in rows],
    )
    fig.add_vline(x=1, line={"color": NEUTRAL, "dash": "dash", "width": 1})
    return fig.update_xaxes(tickformat=".0%")
