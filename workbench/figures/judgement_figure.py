"""Plotly figures of what dictionaries are worth: comparison, density, probing, absorption, stability, planted truth."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from workbench.core import Result, register

from .measurements import mean_and_spread
from .template import COLOURS, figure
from .wording import plain

WORST = 2.0  # an FVU above it asks for a logarithmic axis


def _error(rows: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    """Error bars from `<key>_low` and `<key>_high`; none where a row does not know them."""
    ends = [[float(row.get(name) or 0) for name in (key, f"{key}_low", f"{key}_high")] for row in rows]
    bounds = [row.get(f"{key}_{end}") for row in rows for end in ("low", "high")]
    if any(bound is None or bound != bound for bound in bounds):
        return {"visible": False}
    return {"array": [high - value for value, _, high in ends], "arrayminus": [value - low for value, low, _ in ends]}


@register("figure", "comparison")
def comparison(result: Result) -> go.Figure:
    """FVU against L0, a colour for each set and a mark for each variant; hover names the Site."""
    rows = result.tables.get("dictionaries", [])
    fig = figure()
    for number, name in enumerate(dict.fromkeys(row["set"] for row in rows)):
        for variant in dict.fromkeys(row["variant"] for row in rows if row["set"] == name):
            mine = [row for row in rows if (row["set"], row["variant"]) == (name, variant)]
            fig.add_scatter(
                x=[row["l0"] for row in mine],
                y=[row["fvu"] for row in mine],
                error_y=_error(mine, "fvu"),
                mode="markers",
                name=plain(name if variant == "dictionary" else f"{name}, {variant}"),
                marker={
                    "color": COLOURS[number % len(COLOURS)],
                    "symbol": "circle" if variant == "dictionary" else "x-thin-open",
                    "size": 9,
                },
                hovertext=[plain(f"{row['site']} {row['family']}") for row in mine],
            )
    fig.update_xaxes(title="L0 (active features a row)")
    values = [row["fvu"] for row in rows if row["fvu"] == row["fvu"]]
    if values and min(values) > 0 and max(values) > WORST:  # an untrained dictionary would press the others together
        return fig.update_yaxes(title="FVU (log scale)", type="log")
    return fig.update_yaxes(title="FVU", rangemode="tozero")


@register("figure", "density")
def density(result: Result) -> go.Figure:
    """How many features fire how often, one line for each dictionary of an evaluation; dead ones are in the legend."""
    rows = result.tables.get("density", [])
    fig = figure()
    for name in dict.fromkeys((row["dictionary"], row["site"]) for row in rows):
        mine = [row for row in rows if (row["dictionary"], row["site"]) == name]
        dead = sum(row["features"] for row in mine if row["log10_low"] is None)
        alive = [row for row in mine if row["log10_low"] is not None]
        fig.add_scatter(
            x=[(row["log10_low"] + row["log10_high"]) / 2 for row in alive],
            y=[row["features"] for row in alive],
            mode="lines",
            line={"shape": "hvh"},
            name=plain(f"{name[0] or name[1]} ({dead} dead)"),
        )
    return fig.update_xaxes(title="log10 of the share of rows").update_yaxes(title="features", rangemode="tozero")


@register("figure", "probing")
def probing(result: Result) -> go.Figure:
    """Balanced accuracy by number of units, mean over the labels; all activations as a level line."""
    rows = result.tables.get("probing", [])
    fig = figure()
    names = [name for name in dict.fromkeys(row["representation"] for row in rows) if name != "majority"]
    for name in names:
        mine = [row for row in rows if row["representation"] == name]
        sizes = sorted({row["k"] for row in mine if row["k"] is not None})
        if not sizes:
            fig.add_hline(
                y=mean_and_spread([row["accuracy"] for row in mine])[0], line_dash="dot", annotation_text=plain(name)
            )
            continue
        means = [mean_and_spread([row["accuracy"] for row in mine if row["k"] == k])[0] for k in sizes]
        fig.add_scatter(x=sizes, y=means, mode="lines+markers", name=plain(name))
    return fig.update_xaxes(title="units that the probe reads").update_yaxes(title="balanced accuracy")


@register("figure", "absorption")
def absorption(result: Result) -> go.Figure:
    """Share of the recognised words of each label that are absorbed, and F1 of the label's own latents."""
    rows = result.tables.get("absorption", [])
    fig = figure()
    labels = [plain(" ".join(str(row[key]) for key in ("set", "dictionary", "label") if key in row)) for row in rows]
    fig.add_bar(x=labels, y=[row["absorbed"] for row in rows], error_y=_error(rows, "absorbed"), name="absorbed")
    fig.add_scatter(x=labels, y=[row["main_f1"] for row in rows], mode="markers", name="F1 of its latents")
    return fig.update_yaxes(title="share of words; F1", range=[0, 1.05])


@register("figure", "stability")
def stability(result: Result) -> go.Figure:
    """Mean matched cosine (or correlation) of every pair, beside the controls."""
    rows = result.tables.get("stability", [])
    fig = figure()
    for measure in dict.fromkeys(row["measure"] for row in rows):
        mine = [row for row in rows if row["measure"] == measure]
        pairs = [plain(f"{row['first']} and {row['second']}") for row in mine]
        fig.add_bar(x=pairs, y=[row["mean_matched"] for row in mine], name=plain(measure))
    return fig.update_yaxes(title="mean of matched features", range=[0, 1.05])


@register("figure", "planted")
def planted(result: Result) -> go.Figure:
    """Share of the true features that each family recovers, bench by bench."""
    rows = result.tables.get("recovery", [])
    fig = figure()
    for bench in dict.fromkeys(row["bench"] for row in rows):
        mine = [row for row in rows if row["bench"] == bench]
        fig.add_bar(x=[row["family"] for row in mine], y=[row["recovered"] for row in mine], name=f"bench {bench}")
    return fig.update_yaxes(title="recovered share of the true features", range=[0, 1.05])
