"""Plotly figures of what writes a prediction, and of activation patching by layer and position.

Tables read. `direct_effects`: `layers` (layer, attention, mlp, accumulated). `position_patching`: `positions`
(site, layer, position, token, recovered).
"""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.core import Result, register

from .template import COLOURS, DIVERGING, NAME, figure
from .theme import NEUTRAL
from .wording import plain_token, show


@register("figure", "direct_effects")
def direct_effects(result: Result) -> go.Figure:
    """What attention and MLP of every layer add to the logit difference, and what has come together so far."""
    rows = [row for row in result.tables["layers"] if row["layer"] >= 0]
    target, foil = (plain_token(str(result.params[name])) for name in ("target", "foil"))
    fig = figure(barmode="relative", height=340, title=f"logits of {target} minus {foil}")
    layers = [row["layer"] for row in rows]
    for number, kind in enumerate(("attention", "mlp")):
        name = "MLP" if kind == "mlp" else kind
        fig.add_bar(x=layers, y=[row[kind] for row in rows], name=name, marker={"color": COLOURS[number]})
    fig.add_scatter(
        x=layers, y=[row["accumulated"] for row in rows], name="the stream so far", mode="lines+markers",
        line={"color": NEUTRAL, "width": 1.5}, marker={"size": 4},
    )  # fmt: skip
    return fig.update_xaxes(title="layer", dtick=max(1, len(layers) // 12)).update_yaxes(title="logits")


@register("figure", "position_patching")
def position_patching(result: Result) -> go.Figure:
    """Layers by positions, one map for each site: the share of the gap that a patch closes."""
    rows = result.tables["positions"]
    kinds = list(dict.fromkeys(row["site"] for row in rows))
    shape = (max((row["layer"] for row in rows), default=0) + 1, max((row["position"] for row in rows), default=0) + 1)
    tokens = {row["position"]: plain_token(row["token"], 14) for row in rows}
    fig = make_subplots(rows=max(1, len(kinds)), cols=1, subplot_titles=kinds, shared_xaxes=True, vertical_spacing=0.1)
    for number, kind in enumerate(kinds, 1):
        value = np.full(shape, np.nan)
        for row in rows:
            if row["site"] == kind:
                value[row["layer"], row["position"]] = row["recovered"]
        hover = [[f"layer {r}, {tokens.get(c, '')}: {show(float(v))}" for c, v in enumerate(line)]
                 for r, line in enumerate(value)]  # fmt: skip
        fig.add_heatmap(z=value, coloraxis="coloraxis", text=hover, hoverinfo="text", row=number, col=1)
    axis = {"colorscale": DIVERGING, "cmin": -1, "cmid": 0, "cmax": 1, "colorbar": {"title": "recovered"}}
    fig.update_layout(template=NAME, coloraxis=axis, height=120 + len(kinds) * (60 + 18 * shape[0]))
    fig.update_xaxes(tickvals=list(tokens), ticktext=list(tokens.values()), showgrid=False)
    return fig.update_yaxes(title="layer", showgrid=False)
