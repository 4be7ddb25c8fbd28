"""Plotly figures of subnetworks: where they live, how they answer, how the stream turns."""

from typing import Any

import plotly.graph_objects as go

from workbench.core import Result, register

from .template import COLOURS, SEQUENTIAL, figure
from .wording import plain


@register("figure", "bigram evaluation")
def bigram_answers(result: Result) -> go.Figure:
    """Correlation with the bigram's surprisal and agreement with its first choice, variant by variant."""
    rows = result.tables.get("answers", [])
    fig = figure(barmode="group")
    for number, (key, title) in enumerate((("r", "correlation of surprisals"), ("top1", "same first choice"))):
        fig.add_bar(
            x=[plain(row["variant"]) for row in rows],
            y=[row[key] for row in rows],
            error_y=_error(rows, key),
            name=title,
            marker_color=COLOURS[number],
        )
    return fig.update_yaxes(title="r; share of positions", range=[0, 1.05])


@register("figure", "bigram density")
def bigram_density(result: Result) -> go.Figure:
    """Share of the entries of every matrix that stay, layer by layer; hover has the counts."""
    rows = result.tables.get("matrices", [])
    layers = sorted({row["layer"] for row in rows})
    names = list(dict.fromkeys(row["matrix"] for row in rows))
    cells = {(row["matrix"], row["layer"]): row for row in rows}
    fig = figure()
    fig.add_heatmap(
        x=layers,
        y=names,
        z=[[_value(cells.get((name, layer))) for layer in layers] for name in names],
        text=[[_count(cells.get((name, layer))) for layer in layers] for name in names],
        hovertemplate="layer %{x}, %{y}: %{text}<extra></extra>",
        colorscale=SEQUENTIAL,
        zmin=0,
        colorbar={"title": "kept share"},
    )
    return fig.update_xaxes(title="layer", dtick=1).update_yaxes(autorange="reversed")


@register("figure", "bigram training")
def bigram_training(result: Result) -> go.Figure:
    """Divergence from the target and the share of entries above a half, over the steps."""
    rows = result.tables.get("training", [])
    fig = figure()
    steps = [row["step"] for row in rows]
    fig.add_scatter(x=steps, y=[row["divergence"] for row in rows], name="divergence from the target (nats)")
    fig.add_scatter(x=steps, y=[row["kept_share"] for row in rows], name="share kept")
    fig.add_scatter(x=steps, y=[row["undecided_share"] for row in rows], name="share undecided")
    return fig.update_xaxes(title="step").update_yaxes(rangemode="tozero")


@register("figure", "bigram rotation")
def bigram_rotation(result: Result) -> go.Figure:
    """Rotation to the embedding (solid) and to the last layer (dotted), layer by layer."""
    rows = result.tables.get("rotation", [])
    fig = figure()
    for number, name in enumerate(dict.fromkeys(row["variant"] for row in rows)):
        mine = [row for row in rows if row["variant"] == name]
        for key, dash in (("to_input", "solid"), ("to_output", "dot")):
            fig.add_scatter(
                x=[row["layer"] for row in mine],
                y=[row[key] for row in mine],
                error_y=_error(mine, key),
                name=plain(f"{name}, {key.replace('_', ' ')}"),
                line={"color": COLOURS[number % len(COLOURS)], "dash": dash},
            )
    return fig.update_xaxes(title="after so many layers", dtick=1).update_yaxes(title="median angle (degrees)")


@register("figure", "bigram removal")
def bigram_removal(result: Result) -> go.Figure:
    """Loss of the full model without a share of the subnetwork, beside as many entries removed at random."""
    rows = result.tables.get("removal", [])
    fig = figure()
    for number, name in enumerate(dict.fromkeys(row["removed"] for row in rows)):
        mine = [row for row in rows if row["removed"] == name]
        fig.add_scatter(
            x=[row["share"] for row in mine],
            y=[row["loss"] for row in mine],
            error_y=_error(mine, "loss"),
            text=[f"{row['entries']:,} entries" for row in mine],
            name=plain(name),
            line={"color": COLOURS[number % len(COLOURS)]},
        )
    return fig.update_xaxes(title="share removed", tickformat=".0%").update_yaxes(title="loss (nats)")


def _error(rows: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Error bars from `<key>_low` and `<key>_high`."""
    return {
        "array": [row[f"{key}_high"] - row[key] for row in rows],
        "arrayminus": [row[key] - row[f"{key}_low"] for row in rows],
    }


def _value(row: dict[str, Any] | None) -> float | None:
    return None if row is None else row["density"]


def _count(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{row['kept']:,} of {row['entries']:,}"


@register("figure", "bigram features")
def bigram_features(result: Result) -> go.Figure:
    """What features and the affine part write along the effect of a subnetwork, dictionary by dictionary."""
    rows = result.tables.get("effects", [])
    fig = figure(barmode="group")
    for number, key in enumerate(("features", "affine", "written")):
        fig.add_bar(
            x=[plain(f"{row['dictionary']}, {row['mask']}") for row in rows],
            y=[row[key] for row in rows],
            error_y=_error(rows, key),
            name={"written": "the MLP itself"}.get(key, key),
            marker_color=COLOURS[number],
        )
    return fig.update_yaxes(title="along the effect, in its squares")


@register("figure", "bigram reproduction")
def bigram_penalties(result: Result) -> go.Figure:
    """Correlation with the bigram's surprisal over the share kept, one mark for every penalty; the paper's beside."""
    rows = result.tables.get("penalties", [])
    fig = figure()
    fig.add_scatter(
        x=[row["kept_share"] for row in rows],
        y=[row["r"] for row in rows],
        error_y=_error(rows, "r"),
        text=[plain(row["mask"]) for row in rows],
        mode="markers+text",
        textposition="bottom center",
        name="measured here",
    )
    paper = result.tables.get("paper", [])
    fig.add_scatter(
        x=[row["share"] for row in paper],
        y=[row["selected"] for row in paper],
        text=[plain(row["model"]) for row in paper],
        mode="markers",
        name="the paper's selected ones",
        marker={"symbol": "x", "color": COLOURS[1]},
    )
    return fig.update_xaxes(title="share of the weights that stay", type="log").update_yaxes(title="r")
