"""Plotly figures of one prompt: next tokens, logit lens, attention.

Tables read. `next_tokens`: `next_tokens` (rank, token, token_id, probability, logit). `logit_lens`: `lens` (layer,
position, token, top, probability; other number columns are statistics, `params["statistic"]` chooses). `attention`:
array `pattern` [h, q, k] of one layer (`params["layer"]`) and table `tokens` (position, token). `attention_heads`:
table `heads` (layer, head, one column a score).
"""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.core import Result, register

from .template import NAME, SEQUENTIAL
from .theme import POSITIVE
from .wording import plain_token, show


@register("figure", "next_tokens")
def next_tokens(result: Result) -> go.Figure:
    """Bars of the likeliest next tokens, the likeliest on top."""
    rows = result.tables["next_tokens"]
    fig = go.Figure(layout={"template": NAME, "height": 120 + 24 * len(rows)})
    fig.add_bar(
        x=[row["probability"] for row in rows],
        y=list(range(len(rows))),
        orientation="h",
        marker_color=POSITIVE,
        text=[show(row["probability"]) for row in rows],
        hovertext=[f"{plain_token(row['token'])}: p {show(row['probability'])}" for row in rows],
        hoverinfo="text",
    )
    texts = [plain_token(row["token"]) for row in rows]
    fig.update_yaxes(tickvals=list(range(len(rows))), ticktext=texts, autorange="reversed", showgrid=False)
    return fig.update_xaxes(title="probability", rangemode="tozero")


@register("figure", "logit_lens")
def logit_lens(result: Result) -> go.Figure:
    """Layers by positions: the statistic as colour, the top token as text.

    Invisible squares lie on the cells, because a heat map gives no selection events; their customdata is
    [layer, position].
    """
    rows, statistic = result.tables["lens"], result.params.get("statistic", "probability")
    layers, positions = sorted({r["layer"] for r in rows}), sorted({r["position"] for r in rows})
    value = np.full((len(layers), len(positions)), np.nan)
    top = np.full(value.shape, "", dtype=object)
    for row in rows:
        cell = layers.index(row["layer"]), positions.index(row["position"])
        value[cell], top[cell] = row[statistic], plain_token(row.get("top", ""), 12)
    tokens = {row["position"]: plain_token(row["token"], 16) for row in rows}
    fig = go.Figure(layout={"template": NAME, "height": 140 + 22 * len(layers)})
    fig.add_heatmap(
        x=positions, y=layers, z=value, text=top, texttemplate="%{text}", colorscale=SEQUENTIAL, hoverinfo="skip",
        colorbar={"title": statistic}, textfont={"size": 10},
    )  # fmt: skip
    cells = [(layer, position) for layer in layers for position in positions]
    fig.add_scatter(
        x=[position for _, position in cells],
        y=[layer for layer, _ in cells],
        mode="markers",
        customdata=cells,
        hovertext=[f"layer {r}, position {c}: {t} ({show(float(v))})" for (r, c), t, v in
                   zip(cells, top.flat, value.flat, strict=True)],
        hoverinfo="text",
        showlegend=False,
        marker={"symbol": "square", "size": 14, "opacity": 0},
    )  # fmt: skip
    fig.update_xaxes(tickvals=positions, ticktext=[tokens.get(p, "") for p in positions], showgrid=False)
    return fig.update_yaxes(title="layer", showgrid=False)


@register("figure", "attention")
def attention(result: Result) -> go.Figure:
    """Small multiples of a layer's heads, or one large map when `params["head"]` names it."""
    pattern = np.asarray(result.arrays["pattern"], dtype=float)
    tokens = [plain_token(row["token"], 14) for row in result.tables["tokens"]]
    head = result.params.get("head")
    heads = list(range(len(pattern))) if head is None else [int(head)]
    across = min(4, len(heads))
    fig = make_subplots(
        rows=-(-len(heads) // across), cols=across, subplot_titles=[f"head {h}" for h in heads],
        horizontal_spacing=0.03, vertical_spacing=0.08,
    )  # fmt: skip
    for place, number in enumerate(heads):
        row, column = place // across + 1, place % across + 1
        fig.add_heatmap(
            z=pattern[number], coloraxis="coloraxis", row=row, col=column,
            hovertemplate="from %{y} to %{x}: %{z:.3g}<extra></extra>",
        )  # fmt: skip
    fig.update_layout(
        template=NAME, coloraxis={"colorscale": SEQUENTIAL, "cmin": 0, "cmax": 1},
        height=560 if len(heads) == 1 else 240 * -(-len(heads) // across) + 80,
    )  # fmt: skip
    fig.update_yaxes(autorange="reversed", showgrid=False, showticklabels=len(heads) == 1)
    fig.update_xaxes(showgrid=False, showticklabels=len(heads) == 1)
    if len(heads) == 1:
        fig.update_xaxes(tickvals=list(range(len(tokens))), ticktext=tokens, title="attends to")
        fig.update_yaxes(tickvals=list(range(len(tokens))), ticktext=tokens, title="from")
    return fig


@register("figure", "attention_heads")
def attention_heads(result: Result) -> go.Figure:
    """One map of layers by heads for every score, each on its own scale."""
    rows = result.tables["heads"]
    scores = [name for name in rows[0] if name not in ("layer", "head")]
    shape = (max(row["layer"] for row in rows) + 1, max(row["head"] for row in rows) + 1)
    titles = [name.replace("_", " ") for name in scores]
    fig = make_subplots(rows=1, cols=len(scores), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.02)
    for column, name in enumerate(scores, 1):
        value = np.full(shape, np.nan)
        for row in rows:
            value[row["layer"], row["head"]] = row[name]
        hover = f"layer %{{y}}, head %{{x}}: %{{z:.3g}}<extra>{titles[column - 1]}</extra>"
        fig.add_heatmap(z=value, colorscale=SEQUENTIAL, showscale=False, hovertemplate=hover, row=1, col=column)
    fig.update_layout(template=NAME, height=140 + 16 * shape[0])
    fig.update_yaxes(title="layer", col=1, dtick=max(1, shape[0] // 6), showgrid=False)
    return fig.update_xaxes(title="head", showgrid=False, dtick=max(1, shape[1] // 4))
