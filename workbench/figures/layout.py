"""Where the nodes of a circuit graph stand: x = token position, y = layer, embeddings below, logits above.

Nothing is simulated: the same graph is always laid out the same way, and no two nodes overlap.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from workbench.core import CircuitGraph, Node

from .wording import clip, legible, visible

SLOT = 68.0
LINE = 38.0
EMPTY_LAYER = 7.0
MARGIN_LEFT = 54.0
RADIUS = 10.0


@dataclass(frozen=True)
class PlacedNode:
    """A drawn node: its number in the graph, its rank in the node table (from 1), its place and its label."""

    number: int
    rank: int
    node: Node
    x: float
    y: float
    radius: float
    label: str


@dataclass(frozen=True)
class PlacedEdge:
    """A drawn edge between two places in `Drawing.nodes`; `share` is of the target's absolute input."""

    source: int
    target: int
    weight: float
    share: float


@dataclass(frozen=True)
class Column:
    """The column of one token position."""

    position: int
    token: str
    x: float
    width: float
    effect: float


@dataclass(frozen=True)
class Row:
    """The row of one layer that holds nodes."""

    layer: int
    name: str
    y: float
    height: float


@dataclass(frozen=True)
class Drawing:
    """A laid-out graph with what was left out of it."""

    width: float
    height: float
    nodes: tuple[PlacedNode, ...]
    edges: tuple[PlacedEdge, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total_nodes: int
    total_edges: int


def importance(node: Node) -> float:
    """What nodes are ranked by: |total effect|, or influence where no effects were computed."""
    return abs(node.effect) or node.influence


def choose_nodes(graph: CircuitGraph, limit: int = 60) -> list[int]:
    """Numbers of the nodes to draw: at most `limit` beside the token embeddings, most important first.

    Up to an eighth of the places are for errors and a fifth for logits; embeddings come on top, where they matter.
    """

    def best(numbers: Sequence[int], most: int, floor: float = 0.0) -> list[int]:
        ranked = sorted(numbers, key=lambda i: (-importance(graph.nodes[i]), i))[: max(most, 0)]
        return [i for i in ranked if importance(graph.nodes[i]) > floor]

    kinds: dict[str, list[int]] = defaultdict(list)
    for i, node in enumerate(graph.nodes):
        kinds["inner" if node.kind not in ("logit", "embed", "error") else node.kind].append(i)
    logits = sorted(kinds["logit"], key=lambda i: (-importance(graph.nodes[i]), i))[: max(1, limit // 5)]
    largest = max((importance(graph.nodes[i]) for i in kinds["embed"]), default=0.0)
    embeds = best(kinds["embed"], limit, 0.01 * largest)
    inner = best(kinds["inner"], limit - len(logits) - min(limit // 8, len(kinds["error"])))
    errors = best(kinds["error"], min(limit // 8, limit - len(logits) - len(inner)))
    return [*logits, *inner, *embeds, *errors]


def choose_edges(graph: CircuitGraph, chosen: Sequence[int], limit: int = 140) -> list[tuple[int, int, float, float]]:
    """(source, target, weight, share) between chosen nodes: each node's strongest input, then the strongest of all.

    An edge's share is |weight| over the sum of its target's |incoming weights| in the whole given graph: raw
    weights into different nodes have different units.
    """
    total = torch.zeros(len(graph.nodes), dtype=torch.float64)
    total.index_add_(0, graph.target.long(), graph.weight.double().abs())
    inside = torch.zeros(len(graph.nodes), dtype=torch.bool)
    inside[torch.tensor(list(chosen), dtype=torch.long)] = True
    alive = inside[graph.source.long()] & inside[graph.target.long()]
    source, target, weight = (t[alive].tolist() for t in (graph.source, graph.target, graph.weight))
    edges = [(s, t, w, abs(w) / max(float(total[t]), 1e-30)) for s, t, w in zip(source, target, weight, strict=True)]
    edges.sort(key=lambda e: (-e[3] * (importance(graph.nodes[e[1]]) + 1e-12), e[0], e[1]))
    fed: set[int] = set()
    first, rest = [], []
    for edge in edges:
        (rest if edge[1] in fed else first).append(edge)
        fed.add(edge[1])
    return [*first, *rest][:limit]


def node_label(node: Node, token: str, labels: Mapping[str, str] | None = None) -> str:
    """What a node is called in pictures and tables."""
    if labels and labels.get(node.id):
        return labels[node.id]
    if node.kind == "embed":
        return visible(token)
    if node.label:
        return node.label
    return {"feature": f"f{node.index}", "error": "error", "logit": "logit"}.get(node.kind, f"{node.kind} {node.index}")


def lay_out(
    graph: CircuitGraph, max_nodes: int = 60, max_edges: int = 140, labels: Mapping[str, str] | None = None
) -> Drawing:
    """Place the most important nodes and edges of a graph.

    Args:
        labels: node id -> text that replaces the node's own label.
    """
    chosen = choose_nodes(graph, max_nodes)
    chosen_edges = choose_edges(graph, chosen, max_edges)
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i in chosen:
        cells[graph.nodes[i].layer, graph.nodes[i].position].append(i)
    columns, width = _columns(graph, cells)
    rows, height = _rows(graph, cells)
    centres = {column.position: column.x + column.width / 2 for column in columns}
    lines = {row.layer: row for row in rows}
    largest = max((importance(graph.nodes[i]) for i in chosen if graph.nodes[i].kind != "logit"), default=1.0) or 1.0
    rank = {number: place for place, number in enumerate(ranked(graph, chosen), 1)}
    placed = []
    for (layer, position), numbers in sorted(cells.items()):
        for place, number in enumerate(sorted(numbers, key=lambda i: (rank[i], i))):
            line, slot = divmod(place, _per_line(len(numbers)))
            on_line = min(_per_line(len(numbers)), len(numbers) - line * _per_line(len(numbers)))
            x = centres[position] + (slot - (on_line - 1) / 2) * SLOT
            y = lines[layer].y + lines[layer].height - (line + 0.5) * LINE
            node = graph.nodes[number]
            size = min(importance(node) / largest, 1.0) ** 0.5
            label = clip(legible(node_label(node, graph.tokens[position], labels)), 12)
            placed.append(PlacedNode(number, rank[number], node, x, y - 5, RADIUS * (0.72 + 0.33 * size), label))
    where = {node.number: place for place, node in enumerate(placed)}
    edges = tuple(PlacedEdge(where[s], where[t], w, share) for s, t, w, share in reversed(chosen_edges))
    return Drawing(width, height, tuple(placed), edges, columns, rows, len(graph.nodes), len(graph.weight))


def ranked(graph: CircuitGraph, chosen: Sequence[int]) -> list[int]:
    """Node numbers as the node table lists them: logits, then by |total effect|."""
    return sorted(chosen, key=lambda i: (graph.nodes[i].kind != "logit", -importance(graph.nodes[i]), i))


def _per_line(count: int) -> int:
    return count if count <= 3 else 3 if count <= 9 else 4


def _columns(graph: CircuitGraph, cells: Mapping[tuple[int, int], list[int]]) -> tuple[tuple[Column, ...], float]:
    widest: dict[int, int] = defaultdict(int)
    for (_, position), numbers in cells.items():
        widest[position] = max(widest[position], _per_line(len(numbers)))
    effects: dict[int, float] = defaultdict(float)
    for node in graph.nodes:
        if node.kind == "embed":
            effects[node.position] += node.effect
    columns, x = [], MARGIN_LEFT
    for position, token in enumerate(graph.tokens):
        text = clip(visible(token), 13)
        width = max(widest[position] * SLOT, 7.0 * len(text) + 10)
        columns.append(Column(position, text, x, width, effects[position]))
        x += width
    return tuple(columns), x + 8


def _rows(graph: CircuitGraph, cells: Mapping[tuple[int, int], list[int]]) -> tuple[tuple[Row, ...], float]:
    lines: dict[int, int] = defaultdict(int)
    for (layer, _), numbers in cells.items():
        lines[layer] = max(lines[layer], -(-len(numbers) // _per_line(len(numbers))))
    rows, y = [], 8.0
    for layer in range(graph.n_layers, -2, -1):
        height = lines[layer] * LINE + 4 if lines[layer] else EMPTY_LAYER
        if lines[layer]:
            name = {-1: "embed", graph.n_layers: "logits"}.get(layer, f"L{layer}")
            rows.append(Row(layer, name, y, height))
        y += height
    return tuple(rows), y + 46
