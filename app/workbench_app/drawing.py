"""A circuit graph as the browser component wants it, and the connections of one node. No user interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench import core
from workbench.figures import clip

OPENED = 500  # a graph of more nodes opens at 90 % of the influence
MAX_NODES, MAX_EDGES = 2000, 20_000  # what is sent to the browser; what is left out is counted there
LONGEST = 200  # letters of a token or label that the page is sent
FREE = ("embed", "logit")
SCORES = (
    "replacement",
    "completeness",
)  # of the scores stored with a graph, those that are defined the same everywhere


@dataclass(frozen=True)
class Names:
    """What the nodes of a graph are called: their label, else what they are and the tokens that they promote.

    `labels`: unit -> what people call it in this workspace.
    """

    graph: core.CircuitGraph
    promoted: dict[str, str]
    labels: dict[str, str] = field(default_factory=dict)

    def __call__(self, node: core.Node) -> str:
        if node.kind == "embed":
            return clip(f"token {node.label or self.graph.tokens[node.position]}", LONGEST)
        if node.kind == "logit":
            return clip(node.label.strip(), LONGEST) or f"target {node.index}"
        if node.kind == "error":
            return f"L{node.layer} error"
        words = self.labels.get(str(node.unit), "") or node.label.strip() or self.promoted.get(str(node.unit), "")
        return clip(f"{self.stem(node)}{': ' if words else ''}{words}", LONGEST)

    def stem(self, node: core.Node) -> str:
        """What a node is, without words."""
        return f"L{node.layer} {node.kind} {node.index}"


def names_of(graph: core.CircuitGraph, effects: core.Result | None) -> Names:
    """Names that use the stored direct effects of the units, when there are any."""
    rows = effects.tables.get("unit_effects", []) if effects else []
    words = {row["unit"]: " ".join(str(text).strip() or "·" for text, _ in row["promoted"][:3]) for row in rows}
    return Names(graph, words)


def kept_nodes(graph: core.CircuitGraph) -> list[int]:
    """Numbers of the nodes that are sent: tokens and targets, then the largest influence."""
    free = [i for i, node in enumerate(graph.nodes) if node.kind in FREE]
    rest = [i for i, node in enumerate(graph.nodes) if node.kind not in FREE]
    rest.sort(key=lambda i: (-graph.nodes[i].influence, i))
    return sorted(free + rest[: max(0, MAX_NODES - len(free))])


def payload(graph: core.CircuitGraph, names: Names, densities: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Everything that the component draws; the strongest edges only when there are too many.

    Args:
        densities: unit -> share of the tokens on which it fires, where that is known.
    """
    densities = densities or {}
    kept = kept_nodes(graph)
    inside = graph.subgraph(kept)
    strongest = inside.weight.abs().argsort(descending=True)[:MAX_EDGES]
    absolute = graph.weight.abs()
    inputs = absolute.new_zeros(len(graph.nodes)).index_add(0, graph.target, absolute)[kept].tolist()
    finite = [0.0 if node.activation != node.activation else node.activation for node in inside.nodes]
    nodes = [
        {
            "id": node.id,
            "kind": node.kind,
            "layer": node.layer,
            "position": node.position,
            "unit": f"{node.layer}:{node.index}",
            "address": str(node.unit or ""),
            "stem": names.stem(node),
            "label": names(node),
            "activation": activation,
            "influence": node.influence,
            "effect": node.effect,
            **({"density": densities[str(node.unit)]} if str(node.unit) in densities else {}),
        }
        for node, activation in zip(inside.nodes, finite, strict=True)
    ]
    return {
        "id": f"{graph.manifest.content_hash[:16]}-{len(names.promoted)}{'-scanned' if densities else ''}",
        "tokens": [clip(token, LONGEST) for token in graph.tokens],
        "n_layers": graph.n_layers,
        "nodes": nodes,
        "source": inside.source[strongest].tolist(),
        "target": inside.target[strongest].tolist(),
        "weight": [float(f"{w:.4g}") for w in inside.weight[strongest].tolist()],
        "norm": [float(f"{value:.4g}") for value in inputs],
        "total": {"nodes": len(graph.nodes), "edges": len(graph.weight)},
        "share": 1.0 if len(graph.nodes) <= OPENED else 0.9,
    }


@dataclass(frozen=True)
class Connection:
    """One edge of a node: the other end, its weight, and its share of the absolute total on that side."""

    number: int
    weight: float
    share: float


def connections(graph: core.CircuitGraph, number: int, inputs: bool) -> list[Connection]:
    """Inputs or outputs of a node, strongest first; shares are of the summed absolute weights of that side."""
    here, there = (graph.target, graph.source) if inputs else (graph.source, graph.target)
    chosen = (here == number).nonzero().flatten()
    weights, others = graph.weight[chosen], there[chosen]
    total = float(weights.abs().sum()) or 1.0
    order = weights.abs().argsort(descending=True, stable=True).tolist()
    return [Connection(int(others[i]), float(weights[i]), abs(float(weights[i])) / total) for i in order]


def accounting(graph: core.CircuitGraph, number: int) -> dict[str, float]:
    """What a node's incoming edges add up to, by kind of source, with its constant part and what it should be."""
    sums: dict[str, float] = {}
    for edge in connections(graph, number, inputs=True):
        kind = graph.nodes[edge.number].kind
        sums[kind] = sums.get(kind, 0.0) + edge.weight
    return {**sums, "constant": float(graph.bias[number]), "pre-activation": graph.nodes[number].pre_activation}


def default_node(graph: core.CircuitGraph) -> str | None:
    """What is shown when nothing is selected: the first target, else the most influential node."""
    wanted: list[Callable[[], list[int]]] = [lambda: graph.find("logit"), lambda: graph.top(1, by="influence")]
    found = next((numbers for find in wanted if (numbers := find())), [])
    return graph.nodes[found[0]].id if found else None
