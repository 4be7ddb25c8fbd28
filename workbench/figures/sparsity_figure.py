"""Plotly figures of activation sparsity: profiles, the map of firing rates, dials, the lazy-neuron curves."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench.core import Result, register

from .template import COLOURS, SEQUENTIAL, figure
from .theme import NEUTRAL
from .wording import plain

_COLUMNS = 256
"""Columns of the map: neurons are sorted by rate and averaged, so that a wide layer stays legible."""
RARE = 1e-4
"""Rates below it have one colour."""
SELDOM = 0.01
"""Where a tenth of the neurons fire less often, the map of rates is logarithmic."""


@register("figure", "sparsity_profile")
def sparsity_profile(result: Result) -> go.Figure:
    """Share of firing, dead and always-on neurons by layer; lines that are 0 everywhere say so in the legend."""
    rows = result.tables.get("layers", [])
    layers = [row["layer"] for row in rows]
    fig = figure(
        xaxis_title="layer", yaxis_title="share of the neurons", yaxis_rangemode="tozero", yaxis_tickformat=".0%"
    )
    names = {"density": "fire in a token", "dead_share": "never fire", "always_on_share": "fire in over 99 % of tokens"}
    for key, name in names.items():
        shares = [row[key] for row in rows]
        none = "" if any(shares) else ": none"
        fig.add_scatter(x=layers, y=shares, mode="lines+markers", name=name + none)
    return fig


@register("figure", "firing_map")
def firing_map(result: Result) -> go.Figure:
    """Layer by neuron, sorted: the share of tokens in which each fires, logarithmic where many fire rarely."""
    rates = np.sort(result.arrays["rates"].astype(float), axis=1)[:, ::-1]
    columns = min(_COLUMNS, rates.shape[1])
    edges = np.linspace(0, rates.shape[1], columns + 1).astype(int)
    shown = np.stack([rates[:, low:high].mean(1) for low, high in itertools.pairwise(edges)], 1)
    rare = float((shown < SELDOM).mean()) > 0.1
    ticks = {-4: "≤ 0.01 %", -3: "0.1 %", -2: "1 %", -1: "10 %", 0: "100 %"}
    if not rare:
        ticks = {share / 100: f"{share} %" for share in range(0, 101, 20)}
    fig = figure(
        xaxis_title="neurons, the busiest first (share of the layer)",
        xaxis_tickformat=".0%",
        yaxis_title="layer",
        yaxis_autorange="reversed",
    )
    fig.add_heatmap(
        z=np.log10(np.maximum(shown, RARE)) if rare else shown,
        x=(edges[:-1] + edges[1:]) / 2 / rates.shape[1],
        y=list(range(len(rates))),
        customdata=shown,
        colorscale=SEQUENTIAL,
        zmin=min(ticks),
        zmax=max(ticks),
        colorbar={
            "title": {"text": "fires in"},
            "tickvals": list(ticks),
            "ticktext": list(ticks.values()),
        },
        hovertemplate="layer %{y}: fires in %{customdata:.2%} of the tokens<extra></extra>",
    )
    return fig


@register("figure", "dial")
def dial(result: Result) -> go.Figure:
    """Rise of perplexity against the share of silent neurons, all layers together, a line for each rule."""
    rows = [row for row in result.tables.get("dial", []) if row["layer"] is None]
    fig = figure(xaxis_title="silent neurons", yaxis_title="rise of perplexity", yaxis_range=[-0.02, 0.5])
    fig.update_xaxes(tickformat=".0%", range=[0, 1]).update_yaxes(tickformat=".0%")
    for number, rule in enumerate(dict.fromkeys(row["rule"] for row in rows)):
        mine = sorted((row for row in rows if row["rule"] == rule), key=lambda row: row["silent"])
        fig.add_scatter(
            x=[0, *(row["silent"] for row in mine)],
            y=[0, *(row["perplexity_rise"] for row in mine)],
            error_y={
                "array": [0, *(row["perplexity_rise_high"] - row["perplexity_rise"] for row in mine)],
                "arrayminus": [0, *(row["perplexity_rise"] - row["perplexity_rise_low"] for row in mine)],
            },
            mode="lines+markers",
            name=plain(f"{rule}, {mine[0]['allocation']}"),
            line={"color": NEUTRAL if rule == "random" else COLOURS[number % (len(COLOURS) - 1)]},
        )
    for rise in (0.01, 0.03):
        fig.add_hline(y=rise, line={"color": NEUTRAL, "dash": "dot", "width": 1})
    return fig


@register("figure", "dial_layers")
def dial_layers(result: Result) -> go.Figure:
    """Rise of perplexity with one layer gated alone, a line for each rule and share."""
    rows = [row for row in result.tables.get("dial", []) if row["layer"] is not None]
    fig = figure(xaxis_title="the only layer gated", yaxis_title="rise of perplexity", yaxis_tickformat=".1%")
    for rule, share in dict.fromkeys((row["rule"], row["share"]) for row in rows):
        mine = [row for row in rows if (row["rule"], row["share"]) == (rule, share)]
        fig.add_scatter(
            x=[row["layer"] for row in mine],
            y=[row["perplexity_rise"] for row in mine],
            mode="lines+markers",
            name=plain(f"{rule}, {share:.0%} silent"),
        )
    return fig


@register("figure", "lazy_neuron")
def lazy_neuron(result: Result) -> go.Figure:
    """Density through training, mean of the layers, a line for each run; 50 % is where all begin."""
    rows = result.tables.get("curves", [])
    fig = figure(xaxis_title="step", yaxis_title="share of neurons above 0", yaxis_tickformat=".0%")
    for run in dict.fromkeys(row["run"] for row in rows):
        steps, means = _mean_by_step([row for row in rows if row["run"] == run])
        fig.add_scatter(x=steps, y=means, mode="lines", name=plain(run))
    return fig.update_yaxes(rangemode="tozero")


def _mean_by_step(rows: Sequence[dict[str, Any]]) -> tuple[list[int], list[float]]:
    by_step: dict[int, list[float]] = {}
    for row in rows:
        by_step.setdefault(row["step"], []).append(row["density"])
    return list(by_step), [sum(values) / len(values) for values in by_step.values()]
