"""The strongest paths between two nodes of a graph, and how much of the flow between them they carry."""

import heapq
from itertools import islice
from typing import Any

import torch

from workbench.core import CircuitGraph, Result

NOTES = (
    "an edge carries |weight| / summed |weights| into its target: the share of influence that it hands down",
    "the strength of a path is the product of its edges' shares, its sign that of the product of their weights",
    "carried: strength of the listed paths over that of every path between the two nodes",
)
Trail = tuple[float, tuple[int, ...]]


def strongest_paths(graph: CircuitGraph, source: str, target: str, k: int = 5) -> Result:
    """The k strongest paths from one node to another, exactly (kind `graph_paths`, table `paths`).

    Args:
        source, target: ids of nodes. There is no path where `source` lies above `target`.

    Raises:
        KeyError: no such node.
    """
    first, last = graph.number(source), graph.number(target)
    inputs = _inputs(graph)
    flow: dict[int, float] = {first: 1.0}
    best: dict[int, list[Trail]] = {first: [(1.0, (first,))]}
    for node in range(first + 1, last + 1):  # nodes are in topological order
        into = [(share, other) for other, share in inputs.get(node, ()) if other in best]
        if not into:
            continue
        flow[node] = sum(abs(share) * flow[other] for share, other in into)
        found = ((share * strength, (*trail, node)) for share, other in into for strength, trail in best[other])
        best[node] = heapq.nsmallest(k, found, key=lambda one: (-abs(one[0]), one[1]))
    listed = best.get(last, []) if last != first else []
    total = flow.get(last, 0.0)
    carried = sum(abs(strength) for strength, _ in listed) / total if listed and total else 0.0
    return Result(
        kind="graph_paths",
        scalars={"flow": total if listed else 0.0, "carried": carried, "paths": float(len(listed))},
        tables={"paths": [_row(graph, rank, trail) for rank, trail in enumerate(islice(listed, k), 1)]},
        params={"source": source, "target": target, "k": k},
        inputs={"graph": graph.manifest.content_hash},
        notes=NOTES,
    )


def _inputs(graph: CircuitGraph) -> dict[int, list[tuple[int, float]]]:
    """Every node's inputs with their signed shares."""
    absolute = graph.weight.double().abs()
    sums = absolute.new_zeros(len(graph.nodes)).index_add(0, graph.target, absolute)
    shares = graph.weight.double() / sums[graph.target].clamp(min=torch.finfo(torch.float64).tiny)
    found: dict[int, list[tuple[int, float]]] = {}
    for source, target, share in zip(graph.source.tolist(), graph.target.tolist(), shares.tolist(), strict=True):
        if share:
            found.setdefault(target, []).append((source, share))
    return found


def _row(graph: CircuitGraph, rank: int, trail: Trail) -> dict[str, Any]:
    strength, numbers = trail
    return {
        "rank": rank,
        "strength": abs(strength),
        "sign": 1 if strength > 0 else -1,
        "steps": len(numbers) - 1,
        "nodes": [graph.nodes[number].id for number in numbers],
    }
