"""Prune: the part of a graph that carries most of its influence, small enough to draw."""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import CircuitGraph

from .config import PruneConfig

PERMANENT = ("embed", "logit")


def prune(graph: CircuitGraph, config: PruneConfig | None = None) -> CircuitGraph:
    """Keep nodes by cumulative influence, edges by cumulative edge influence, at most so many features and errors.

    Features here are units of every kind (neurons, codes, heads, another tool's). The shares are circuit-tracer's;
    nodes that lose all outgoing edges, and features that lose all incoming ones, go too. Influence here is shared
    among the edges that the graph still has. What was removed is recorded in `scores` (pruned_*) and in the
    manifest's details.
    """
    config = config or PruneConfig()
    always = torch.tensor([node.kind in PERMANENT for node in graph.nodes])
    errors = torch.tensor([node.kind == "error" for node in graph.nodes])
    influence = torch.tensor([0.0 if node.kind == "logit" else node.influence for node in graph.nodes])
    kept = always | (influence >= _threshold(influence, config.node_share))
    by_influence = int((kept & ~always).sum())
    for mine, limit in ((~always & ~errors, config.max_features), (errors, config.max_errors)):
        if limit is not None:
            kept &= ~mine | _largest(graph, kept & mine, limit)
    small = graph.subgraph(torch.nonzero(kept)[:, 0].tolist())
    small = _prune_edges(small, config.edge_share)
    return _recorded(graph, small, config, by_influence)


def _threshold(values: Float[Tensor, " n"], share: float) -> float:
    """The smallest value that is still among those that reach a share of the sum, largest first."""
    if not float(values.sum()):
        return 0.0
    ordered = values.sort(descending=True).values
    reached = ordered.cumsum(0) / ordered.sum()
    return float(ordered[min(int((reached < share - 1e-9).sum()), len(ordered) - 1)])


def _largest(graph: CircuitGraph, candidates: Bool[Tensor, " n"], limit: int) -> Bool[Tensor, " n"]:
    effect = torch.tensor([abs(node.effect) for node in graph.nodes]).masked_fill(~candidates, -1)
    chosen = effect.argsort(descending=True, stable=True)[:limit]
    return torch.zeros_like(candidates).index_fill(0, chosen, value=True) & candidates


def edge_influence(graph: CircuitGraph) -> tuple[Float[Tensor, " n"], Float[Tensor, " e"]]:
    """Influence of nodes and edges over the graph's own edges, rows normalised to 1; targets weigh by `influence`."""
    absolute = graph.weight.double().abs()
    sums = absolute.new_zeros(len(graph.nodes)).index_add(0, graph.target, absolute)
    normal = absolute / sums[graph.target].clamp(min=1e-30)
    value = torch.tensor([n.influence if n.kind == "logit" else 0.0 for n in graph.nodes], dtype=torch.float64)
    layers = torch.tensor([node.layer for node in graph.nodes])
    by_layer = layers[graph.target] if len(graph.target) else graph.target
    for layer in sorted(set(layers.tolist()), reverse=True):
        here = torch.nonzero(by_layer == layer)[:, 0]
        value.index_add_(0, graph.source[here], normal[here] * value[graph.target[here]])
    return value, normal * value[graph.target]


def _prune_edges(graph: CircuitGraph, share: float) -> CircuitGraph:
    worth = edge_influence(graph)[1]
    alive = worth >= _threshold(worth, share) if len(worth) else torch.zeros(0, dtype=torch.bool)
    graph = replace(graph, source=graph.source[alive], target=graph.target[alive], weight=graph.weight[alive])
    while True:
        dead = _dangling(graph)
        if not dead:
            return graph
        graph = graph.subgraph(set(range(len(graph.nodes))) - dead)


def _dangling(graph: CircuitGraph) -> set[int]:
    """Features and errors that reach nothing, and features that nothing reaches."""
    sources, targets = set(graph.source.tolist()), set(graph.target.tolist())
    dead = set()
    for number, node in enumerate(graph.nodes):
        if node.kind in PERMANENT:
            continue
        if number not in sources or (node.kind != "error" and number not in targets):
            dead.add(number)
    return dead


def _recorded(whole: CircuitGraph, small: CircuitGraph, config: PruneConfig, by_influence: int) -> CircuitGraph:
    def inner(graph: CircuitGraph) -> list[float]:
        return [abs(node.effect) for node in graph.nodes if node.kind not in PERMANENT]

    def influence(graph: CircuitGraph) -> float:
        return sum(node.influence for node in graph.nodes if node.kind != "logit")

    scores = {
        "pruned_nodes_kept": float(len(small.nodes)),
        "pruned_nodes_removed": float(len(whole.nodes) - len(small.nodes)),
        "pruned_nodes_by_influence_alone": float(by_influence),
        "pruned_edges_removed": float(len(whole.weight) - len(small.weight)),
        "pruned_influence_kept": influence(small) / max(influence(whole), 1e-30),
        "pruned_absolute_effect_kept": sum(inner(small)) / max(sum(inner(whole)), 1e-30),
    }
    details = {**whole.manifest.details, "pruned": {**config.model_dump(), "from": whole.manifest.content_hash}}
    manifest = whole.manifest.model_copy(update={"details": details, "content_hash": ""})
    return replace(small, scores={**whole.scores, **scores}, manifest=manifest)
