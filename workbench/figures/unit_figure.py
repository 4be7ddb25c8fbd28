"""Plotly figures of single units: their cards, searches for them, steering with them, dose curves."""

import math
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.core import Result, register

from .template import COLOURS, NAME, figure
from .theme import NEGATIVE, NEUTRAL, POSITIVE
from .wording import clip, plain, plain_token

BAR = 20
MIDTONES = [[0.0, "#6fb0de"], [0.5, POSITIVE], [1.0, "#8a4fbf"]]
"""For points on either background."""


def _bars(fig: go.Figure, labels: list[str], values: list[float], **kinds: Any) -> go.Figure:
    """Signed horizontal bars, the first on top."""
    fig.add_bar(
        orientation="h",
        x=values,
        y=list(range(len(values))),
        marker={"color": [NEGATIVE if value < 0 else POSITIVE for value in values]},
        showlegend=False,
        **kinds,
    )
    return fig.update_yaxes(tickvals=list(range(len(values))), ticktext=labels, autorange="reversed")


@register("figure", "histogram")
def histogram(result: Result) -> go.Figure:
    """How often a unit is how strongly active; counts on a log axis."""
    rows = result.tables.get("histogram", [])
    fig = figure(
        height=200, xaxis_title="activation (log scale)", yaxis_title="tokens (log scale)",
        margin={"l": 60, "r": 20, "t": 10, "b": 45},
    )  # fmt: skip
    fig.add_bar(
        x=[f"{row['low']:.3g}" for row in rows],
        y=[row["count"] for row in rows],
        marker={"color": POSITIVE},
        hovertext=[f"{row['low']:.3g} to {row['high']:.3g}: {row['count']:,} tokens" for row in rows],
        hoverinfo="text",
    )
    return fig.update_yaxes(type="log", dtick=1).update_xaxes(type="category").update_layout(bargap=0.05)


@register("figure", "occurrences")
def occurrences(result: Result) -> go.Figure:
    """The histogram of a unit's activations."""
    return histogram(result)


@register("figure", "feature card")
def feature_card(result: Result) -> go.Figure:
    """Histogram, predicted and measured effects of a unit side by side."""
    effects, measured = result.tables.get("effects", []), result.tables.get("measured", [])
    fig = make_subplots(rows=1, cols=3, subplot_titles=["activation", "direct path", "measured, nats"])
    fig.update_layout(template=NAME, height=max(260, BAR * len(effects) + 110), showlegend=False)
    rows = result.tables.get("histogram", [])
    fig.add_bar(
        x=[f"{r['low']:.3g}" for r in rows], y=[r["count"] for r in rows], marker={"color": POSITIVE}, row=1, col=1
    )
    fig.update_yaxes(type="log", row=1, col=1).update_xaxes(type="category", row=1, col=1)
    for column, (table, key) in enumerate(((effects, "value"), (measured, "change")), 2):
        values = [row[key] for row in table]
        fig.add_bar(
            orientation="h", x=values, y=list(range(len(values))), row=1, col=column,
            marker={"color": [NEGATIVE if value < 0 else POSITIVE for value in values]},
        )  # fmt: skip
        names = [plain_token(row["token"]) for row in table]
        fig.update_yaxes(tickvals=list(range(len(names))), ticktext=names, autorange="reversed", row=1, col=column)
    return fig


@register("figure", "measured effects")
def measured_effects(result: Result) -> go.Figure:
    """Mean change of the log-probability by token, with its standard deviation over examples."""
    rows = result.tables.get("measured", [])
    fig = figure(height=max(200, BAR * len(rows) + 90), xaxis_title="change of the log-probability, nats")
    return _bars(
        fig, [plain_token(row["token"]) for row in rows], [row["change"] for row in rows],
        error_x={"array": [row["sd"] for row in rows]},
    )  # fmt: skip


@register("figure", "similar units")
def similar_units(result: Result) -> go.Figure:
    """Cosine of what is written against the lift of firing together."""
    rows = [row for row in result.tables.get("similar", []) if row.get("lift")]
    fig = figure(xaxis_title="cosine of what is written", yaxis_title="lift of firing together")
    fig.add_scatter(
        x=[row["cosine"] for row in rows],
        y=[row["lift"] for row in rows],
        mode="markers",
        marker={"color": POSITIVE, "size": 9},
        hovertext=[plain(row["unit"]) for row in rows],
    )
    return fig.update_yaxes(type="log")


@register("figure", "connections")
def connections(result: Result) -> go.Figure:
    """The strongest inputs and outputs of a unit by virtual weight."""
    rows = result.tables.get("connections", [])
    values = [row["expected"] if row.get("expected") is not None else row["weight"] for row in rows]
    fig = figure(height=max(220, BAR * len(rows) + 90), xaxis_title="virtual weight (times the usual activation)")
    return _bars(fig, [plain(f"{row['side']}: {row['unit']}") for row in rows], values)


@register("figure", "unit search")
def unit_search(result: Result) -> go.Figure:
    """The best units of a search by what the search ranks."""
    rows = result.tables.get("units", [])[:30]
    key = next((name for name in ("f1", "relative", "cosine", "effect", "score") if rows and rows[0].get(name)), "")
    fig = figure(height=max(220, BAR * len(rows) + 90), xaxis_title=key or "score")
    return _bars(fig, [plain(row["unit"]) for row in rows], [float(row.get(key) or 0.0) for row in rows])


@register("figure", "unit map")
def unit_map(result: Result) -> go.Figure:
    """Units as points, coloured by how often they fire; the customdata of a point is its place in the table."""
    rows = result.tables.get("map", [])
    fig = figure(height=520, dragmode="pan", margin={"l": 10, "r": 10, "t": 10, "b": 10})
    known = [row["density"] for row in rows if row.get("density")]
    shades = [math.log10(row["density"] or 1e-6) if known else 0.0 for row in rows]
    least, most = (min(shades), max(shades)) if shades else (0.0, 0.0)
    ticks = list(range(math.ceil(least), math.floor(most) + 1)) or [least]
    fig.add_scattergl(
        x=[row["x"] for row in rows],
        y=[row["y"] for row in rows],
        mode="markers",
        customdata=list(range(len(rows))),
        hovertext=[
            plain(row["unit"]) + (f", fires on {row['density']:.3%} of tokens" if row.get("density") else "")
            for row in rows
        ],
        hoverinfo="text",
        showlegend=False,
        marker={
            "size": 6,
            "opacity": 0.8,
            "color": shades if known else POSITIVE,
            "colorscale": MIDTONES,
            "showscale": bool(known),
            "colorbar": {
                "title": {"text": "share of tokens"}, "thickness": 12, "tickvals": ticks,
                "ticktext": [f"{100 * 10.0**tick:.3g} %" for tick in ticks],
            },
        },
    )  # fmt: skip
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False}
    return fig.update_xaxes(**axis).update_yaxes(**axis)


@register("figure", "unit on text")
def unit_on_text(result: Result) -> go.Figure:
    """A unit's activation token by token."""
    rows = result.tables.get("tokens", [])
    fig = figure(height=260, yaxis_title="activation")
    fig.add_bar(x=[row["position"] for row in rows], y=[row["activation"] for row in rows], marker={"color": POSITIVE})
    return fig.update_xaxes(
        tickvals=[row["position"] for row in rows], ticktext=[plain_token(row["token"]) for row in rows]
    )


@register("figure", "steering")
def steering(result: Result) -> go.Figure:
    """KL of every position from the unedited run, for the edits and each control."""
    rows = result.tables.get("kl", [])
    fig = figure(height=300, yaxis_title="KL from the unedited run, nats", xaxis_title="position")
    for number, name in enumerate(dict.fromkeys(row["condition"] for row in rows)):
        mine = [row for row in rows if row["condition"] == name]
        fig.add_scatter(
            x=[row["position"] for row in mine],
            y=[row["kl"] for row in mine],
            name=name,
            mode="lines",
            line={"color": NEUTRAL if name.startswith("random") else COLOURS[number % len(COLOURS)],
                  "dash": "dot" if name.startswith("random") else "solid"},
            hovertext=[plain_token(row["token"]) for row in mine],
        )  # fmt: skip
    return fig


@register("figure", "dose curve")
def dose_curve(result: Result) -> go.Figure:
    """The target's probability above, perplexity of what is generated below, against the strength."""
    rows = result.tables.get("doses", [])
    target = clip(plain_token(str(result.params.get("target", ""))), 20)
    fig = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    fig.update_layout(template=NAME, height=440)
    for condition, seed in dict.fromkeys((row["condition"], row["seed"]) for row in rows):
        mine = sorted(
            (row for row in rows if (row["condition"], row["seed"]) == (condition, seed)), key=lambda r: r["strength"]
        )
        edited = condition == "edited"
        look = {"color": POSITIVE if edited else NEUTRAL, "dash": "solid" if edited else "dot"}
        for number, key in enumerate(("target_probability", "perplexity"), 1):
            fig.add_scatter(
                x=[row["strength"] for row in mine], y=[row[key] for row in mine], line=look, mode="lines+markers",
                name=condition, legendgroup=condition, showlegend=number == 1 and seed in (None, 1), row=number, col=1,
                hovertext=[plain(clip(row["text"], 80)) for row in mine],
            )  # fmt: skip
    fig.update_yaxes(title=f"p({target})", row=1, col=1)
    fig.update_yaxes(title="perplexity", type="log", row=2, col=1)
    return fig.update_xaxes(title="strength, times the edits' own", row=2, col=1)
