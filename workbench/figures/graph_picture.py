"""The circuit graph as a static SVG that needs no script: hovering a node lights its edges by style alone."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from workbench.core import CircuitGraph

from .layout import Column, Drawing, PlacedEdge, PlacedNode, Row, lay_out
from .theme import FONT, MONO, variables
from .wording import legible, show, signed


@cache
def _templates() -> Environment:
    loader = PackageLoader("workbench.figures", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def graph_svg(
    graph: CircuitGraph,
    max_nodes: int = 60,
    labels: Mapping[str, str] | None = None,
    link: str = "",
    prefix: str = "g",
) -> str:
    """An inline SVG of the most important nodes.

    Args:
        labels: node id -> text.
        link: prefix of the anchors (`link` + rank) that the nodes lead to; none when empty.
        prefix: of element ids, so that two graphs fit on one page.
    """
    return draw(lay_out(graph, max_nodes, labels=labels), graph.metric, link, prefix)


def draw(drawing: Drawing, metric: str, link: str = "", prefix: str = "g") -> str:
    """The SVG of a laid-out graph."""
    strongest = max((edge.share for edge in drawing.edges), default=1.0) or 1.0
    biggest = max((abs(n.node.effect) for n in drawing.nodes if n.node.kind != "logit"), default=0.0)
    return (
        _templates()
        .get_template("graph.svg")
        .render(
            width=_round(drawing.width),
            height=_round(drawing.height),
            least=_round(min(drawing.width, 1100)),
            floor=_round(drawing.height - 46),
            alt=f"Circuit graph for {metric}: {len(drawing.nodes)} of {drawing.total_nodes} nodes",
            variables=Markup(variables(".wb-graph")),
            font=Markup(FONT),
            mono=Markup(MONO),
            rows=[_row(row) for row in drawing.rows],
            columns=[_column(column, max(abs(c.effect) for c in drawing.columns)) for column in drawing.columns],
            nodes=[_node(node, drawing, biggest) for node in drawing.nodes],
            edges=[_edge(edge, drawing, strongest) for edge in drawing.edges],
            link=link,
            prefix=prefix,
        )
    )


def _round(value: float) -> float | int:
    value = round(value, 1)
    return int(value) if value == int(value) else value


def _row(row: Row) -> dict[str, Any]:
    return {
        "y": _round(row.y + 1),
        "height": _round(row.height - 2),
        "name": row.name,
        "middle": _round(row.y + row.height / 2 + 3.5),
    }


def _column(column: Column, largest: float) -> dict[str, Any]:
    told = abs(column.effect) >= 1e-3 * largest > 0
    return {
        "centre": _round(column.x + column.width / 2),
        "token": column.token,
        "effect": signed(column.effect, 2) if told else "",
    }


def _shape(node: PlacedNode) -> Markup:
    x, y, r = _round(node.x), _round(node.y), _round(node.radius)
    if node.node.kind == "embed":
        return Markup(
            f'<rect class="body" x="{_round(x - r)}" y="{_round(y - r)}" width="{2 * r}" height="{2 * r}" rx="2"/>'
        )
    if node.node.kind == "logit":
        return Markup(
            f'<rect class="body" x="{_round(x - 22)}" y="{_round(y - r)}" width="44" height="{2 * r}" rx="{r}"/>'
        )
    if node.node.kind == "error":
        d = _round(r * 1.15)
        return Markup(f'<path class="body" d="M{x} {_round(y - d)}l{d} {d}l-{d} {d}l-{d} -{d}z"/>')
    return Markup(f'<circle class="body" cx="{x}" cy="{y}" r="{r}"/>')


def _node(place: PlacedNode, drawing: Drawing, biggest: float) -> dict[str, Any]:
    node = place.node
    token = drawing.columns[node.position].token
    facts = [f"{place.rank}. {legible(node.label, 120) or place.label}", f"{node.id} at {token}"]
    facts += [f"activation {show(node.activation)}", f"total effect {signed(node.effect)}"]
    facts += [f"influence {show(100 * node.influence)} %"] if node.influence else []
    strength = round(6 + 44 * min(abs(node.effect) / biggest, 1.0)) if biggest and node.kind != "logit" else 6
    sign = "plus" if node.effect > 0 else "minus" if node.effect < 0 else ""
    return {
        "x": _round(place.x),
        "rank": place.rank,
        "text_y": _round(place.y + 3.4),
        "label_y": _round(place.y + place.radius + 11),
        "label": place.label,
        "kind": node.kind,
        "sign": sign if node.kind != "logit" else "",
        "strength": strength,
        "shape": _shape(place),
        "title": "\n".join(facts),
    }


def _aside(across: float, up: float) -> float:
    """How far an upright edge bows out, so that it does not run through the nodes of its column."""
    return min(12 + 0.12 * up, 60) if abs(across) < 40 and up > 50 else 0.0


def _edge(edge: PlacedEdge, drawing: Drawing, strongest: float) -> dict[str, Any]:
    one, two = drawing.nodes[edge.source], drawing.nodes[edge.target]
    x1, y1, x2, y2 = one.x, one.y - one.radius, two.x, two.y + two.radius
    bend = (y1 - y2) * 0.45
    aside = _aside(x2 - x1, y1 - y2) * (1 if edge.weight > 0 else -1)
    points = [_round(v) for v in (x1, y1, x1 + aside, y1 - bend, x2 + aside, y2 + bend, x2, y2)]
    share = edge.share / strongest
    return {
        "source": edge.source,
        "target": edge.target,
        "weight": edge.weight,
        "width": _round(0.7 + 4.3 * share),
        "opacity": round(0.22 + 0.5 * share**0.5, 2),
        "path": "M{} {}C{} {} {} {} {} {}".format(*points),
        "title": f"{one.rank} → {two.rank}: {signed(edge.weight)} ({show(100 * edge.share)} % of all input)",
    }
