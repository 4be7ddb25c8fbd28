"""A circuit graph as the browser component wants it, and the connections of one node. No user interface."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from workbench.core import CircuitGraph, Node

MAX_NODES, MAX_EDGES = 2000, 20_000  # what is sent to the browser; what is left out is counted there
FREE = ("embed", "logit")


def title(node: Node, tokens: tuple[str, ...], n_layers: int) -> str:
    """A node in a few words: its label if it has one."""
    if node.label:
        return node.label
    if node.kind == "embed":
        return f"token {tokens[node.position]}"
    layer = "output" if node.layer >= n_layers else f"L{node.layer}"
    return f"{layer} error" if node.kind == "error" else f"{layer} {node.kind} {node.index}"


def kept_nodes(graph: CircuitGraph) -> list[int]:
    """Numbers of the nodes that are sent: tokens and targets, then the largest influence."""
    free = [i for i, node in enumerate(graph.nodes) if node.kind in FREE]
    rest = [i for i, node in enumerate(graph.nodes) if node.kind not in FREE]
    rest.sort(key=lambda i: (-graph.nodes[i].influence, i))
    return sorted(free + rest[: max(0, MAX_NODES - len(free))])


def payload(graph: CircuitGraph, pins: list[str], share: float = 0.9) -> dict[str, Any]:
    """Everything that the component draws; the strongest edges only when there are too many."""
    kept = kept_nodes(graph)
    inside = graph.subgraph(kept)
    strongest = inside.weight.abs().argsort(descending=True)[:MAX_EDGES]
    finite = [0.0 if node.activation != node.activation else node.activation for node in inside.nodes]
    nodes = [
        {
            "id": node.id,
            "kind": node.kind,
            "layer": node.layer,
            "position": node.position,
            "unit": f"{node.layer}:{node.index}",
            "label": title(node, graph.tokens, graph.n_layers),
            "activation": activation,
            "influence": node.influence,
            "effect": node.effect,
        }
        for node, activation in zip(inside.nodes, finite, strict=True)
    ]
    return {
        "id": graph.manifest.content_hash[:16],
        "tokens": list(graph.tokens),
        "n_layers": graph.n_layers,
        "nodes": nodes,
        "source": inside.source[strongest].tolist(),
        "target": inside.target[strongest].tolist(),
        "weight": [float(f"{w:.4g}") for w in inside.weight[strongest].tolist()],
        "total": {"nodes": len(graph.nodes), "edges": len(graph.weight)},
        "share": share,
        "pins": pins,
    }


@dataclass(frozen=True)
class Connection:
    """One edge of a node: the other end, its weight, and its share of the absolute total on that side."""

    number: int
    weight: float
    share: float


def connections(graph: CircuitGraph, number: int, inputs: bool) -> list[Connection]:
    """Inputs or outputs of a node, strongest first; shares are of the summed absolute weights of that side."""
    here, there = (graph.target, graph.source) if inputs else (graph.source, graph.target)
    chosen = torch.nonzero(here == number).flatten()
    weights, others = graph.weight[chosen], there[chosen]
    total = float(weights.abs().sum()) or 1.0
    order = weights.abs().argsort(descending=True, stable=True).tolist()
    return [Connection(int(others[i]), float(weights[i]), abs(float(weights[i])) / total) for i in order]


def accounting(graph: CircuitGraph, number: int) -> dict[str, float]:
    """What a node's incoming edges add up to, by kind of source, with its constant part and what it should be."""
    sums: dict[str, float] = {}
    for edge in connections(graph, number, inputs=True):
        kind = graph.nodes[edge.number].kind
        sums[kind] = sums.get(kind, 0.0) + edge.weight
    return {**sums, "constant": float(graph.bias[number]), "pre-activation": graph.nodes[number].pre_activation}


def default_node(graph: CircuitGraph) -> str | None:
    """What is shown when nothing is selected: the first target, else the most influential node."""
    wanted: list[Callable[[], list[int]]] = [lambda: graph.find("logit"), lambda: graph.top(1, by="influence")]
    found = next((numbers for find in wanted if (numbers := find())), [])
    return graph.nodes[found[0]].id if found else None
