"""The circuit graph as a plotly Figure: the same places as the static picture, with hovers."""

import html

import plotly.graph_objects as go

from workbench.core import CircuitGraph, register

from .layout import Drawing, PlacedNode, lay_out
from .template import figure
from .theme import NEGATIVE, NEUTRAL, POSITIVE
from .wording import plain, show, signed

SYMBOLS = {"embed": "square", "error": "diamond", "logit": "star"}


@register("figure", "graph")
def graph_figure(graph: CircuitGraph, max_nodes: int = 60) -> go.Figure:
    """Nodes by token position and layer; blue raises the metric, orange (dashed edges) lowers it.

    Every node carries its id as `customdata`, so that a selection can be traced back to the graph.
    """
    drawing = lay_out(graph, max_nodes)
    title = f"{plain(graph.metric)} = {show(graph.metric_value)}"
    fig = figure(title=title, showlegend=False, height=max(400, int(drawing.height)))
    _add_edges(fig, drawing)
    nodes = drawing.nodes
    fig.add_scatter(
        x=[n.x for n in nodes],
        y=[-n.y for n in nodes],
        mode="markers+text",
        text=[plain(n.label) for n in nodes],
        textposition="bottom center",
        textfont={"size": 10},
        customdata=[n.node.id for n in nodes],
        hovertext=[_hover(n, drawing) for n in nodes],
        hoverinfo="text",
        marker={
            "size": [2 * n.radius for n in nodes],
            "symbol": [SYMBOLS.get(n.node.kind, "circle") for n in nodes],
            "color": [POSITIVE if n.node.effect > 0 else NEGATIVE if n.node.effect < 0 else NEUTRAL for n in nodes],
        },
        name="nodes",
    )
    columns, rows = drawing.columns, drawing.rows
    centres, tokens = [c.x + c.width / 2 for c in columns], [html.escape(c.token, quote=False) for c in columns]
    fig.update_xaxes(tickvals=centres, ticktext=tokens, showgrid=False, zeroline=False, range=[0, drawing.width])
    fig.update_yaxes(
        tickvals=[-(r.y + r.height / 2) for r in rows], ticktext=[r.name for r in rows], showgrid=False, zeroline=False
    )
    return fig


def _add_edges(fig: go.Figure, drawing: Drawing) -> None:
    strongest = max((edge.share for edge in drawing.edges), default=1.0) or 1.0
    for sign, colour, dash in ((1, POSITIVE, "solid"), (-1, NEGATIVE, "dash")):
        for step in range(4):
            edges = [
                e for e in drawing.edges if e.weight * sign > 0 and int(min(3.999 * e.share / strongest, 3)) == step
            ]
            x, y = [], []
            for edge in edges:
                one, two = drawing.nodes[edge.source], drawing.nodes[edge.target]
                x += [one.x, two.x, None]
                y += [-one.y, -two.y, None]
            if edges:
                line = {"color": colour, "width": 0.8 + 1.2 * step, "dash": dash}
                fig.add_scatter(x=x, y=y, mode="lines", line=line, opacity=0.5, hoverinfo="skip")


def _hover(place: PlacedNode, drawing: Drawing) -> str:
    node = place.node
    lines = [f"<b>{place.rank}. {plain(node.label or place.label)}</b>"]
    lines += [f"{node.id} at {html.escape(drawing.columns[node.position].token, quote=False)}"]
    lines += [f"activation {show(node.activation)}, total effect {signed(node.effect)}"]
    return "<br>".join(lines)
