"""Plotly figure of automatic labels: how well they tell where units fire, beside their controls."""

import plotly.graph_objects as go

from workbench.core import Result, register

from .template import figure


@register("figure", "labels")
def labels(result: Result) -> go.Figure:
    """Held-out F1 of every label, best first; the label of another unit and labels of shifted firings beside it."""
    rows = result.tables.get("labels", [])
    fig = figure()
    for key, name in (("f1", "label"), ("shuffled_f1", "another unit's label"), ("noise_f1", "shifted firings")):
        known = [row[key] for row in rows if row.get(key) is not None and row[key] == row[key]]
        if known:
            fig.add_scatter(y=sorted(known, reverse=True), mode="lines", name=name)
    return fig.update_xaxes(title="units, best first").update_yaxes(title="held-out F1", range=[0, 1.02])
