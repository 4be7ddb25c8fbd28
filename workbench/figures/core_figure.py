"""Plotly figures of core neurons: loss by share, change with length, overlap beside meaning; speed of generation."""

import plotly.graph_objects as go

from workbench.core import Result, register

from .template import figure
from .theme import NEUTRAL
from .wording import plain


@register("figure", "core_loss")
def core_loss(result: Result) -> go.Figure:
    """Perplexity over the dense model's by the share of neurons kept, one line for each way."""
    rows = [row for row in result.tables["loss"] if row["way"] != "dense"]
    fig = figure(xaxis_title="share of the neurons", yaxis_title="perplexity / dense perplexity", yaxis_type="log")
    for way in dict.fromkeys(row["way"] for row in rows):
        mine = sorted((row for row in rows if row["way"] == way), key=lambda row: row["share"])
        fig.add_scatter(
            x=[row["share"] for row in mine],
            y=[row["perplexity_ratio"] for row in mine],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [row["perplexity_ratio_high"] - row["perplexity_ratio"] for row in mine],
                "arrayminus": [row["perplexity_ratio"] - row["perplexity_ratio_low"] for row in mine],
            },
            mode="lines+markers",
            name=plain(way),
        )
    return fig.add_hline(y=1.03, line={"color": NEUTRAL, "dash": "dash", "width": 1})


@register("figure", "core_stability")
def core_stability(result: Result) -> go.Figure:
    """The share of core neurons that leave, by the length of the text before."""
    rows = result.tables["stability"]
    fig = figure(xaxis_title="tokens before", yaxis_title="share of the core that changes", xaxis_type="log")
    for against in dict.fromkeys(row["against"] for row in rows):
        mine = [row for row in rows if row["against"] == against]
        fig.add_scatter(
            x=[row["prefix"] for row in mine],
            y=[row["change"] for row in mine],
            mode="lines+markers",
            name=plain(against),
        )
    return fig.update_yaxes(rangemode="tozero")


@register("figure", "core_similarity")
def core_similarity(result: Result) -> go.Figure:
    """Every pair of sentences: cosine of embeddings and overlap of cores, by what the sentences have in common."""
    fig = figure(xaxis_title="cosine of embeddings", yaxis_title="overlap of cores")
    grades = result.arrays["meaning_graded_by_hand"]
    for grade, name in ((0, "unrelated"), (1, "related"), (2, "same")):
        chosen = grades == grade
        fig.add_scatter(
            x=result.arrays["cosine_of_embeddings"][chosen],
            y=result.arrays["core_overlap"][chosen],
            mode="markers",
            name=name,
            marker={"size": 5, "opacity": 0.4 if grade == 0 else 0.9},
        )
    return fig


@register("figure", "sparse_generation")
def sparse_generation(result: Result) -> go.Figure:
    """Where the seconds of one generation went."""
    fig = figure(xaxis_title="seconds", height=220)
    for name in ("read", "choose", "generate"):
        fig.add_bar(orientation="h", x=[result.scalars[f"{name}_seconds"]], y=["time"], name=name)
    return fig.update_layout(barmode="stack")
