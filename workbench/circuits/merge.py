"""Merge: graphs over several prompts of one task, and how stable each node and edge is among them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from workbench.core import CircuitGraph, ConfigError, Manifest, Node, Result, child

from .group_config import MergeConfig
from .match import Matched, matched, matching, name_of

NOTES = (
    "share: of the prompts in whose graph the node or edge is; mean: over all prompts, 0 where it is absent",
    "low, high: percentile bootstrap over prompts; an interval that leaves zero out is stable in sign",
    "edge numbers are shares of each graph's edge influence, with the weight's sign",
)


def merge(graphs: Sequence[CircuitGraph], config: MergeConfig | None = None) -> Result:
    """Stability of nodes and edges over prompts (kind `graph_merge`); nodes: effect, edges: signed influence.

    Tables: `nodes` and `edges` (in, share, mean, low, high, same_sign), largest |mean| first.

    Raises:
        ConfigError: fewer than two graphs, or graphs that cannot be matched.
    """
    config = config or MergeConfig()
    if len(graphs) < 2:
        raise ConfigError("merging wants at least two graphs", found=f"found {len(graphs)}")
    how = matching(graphs, config)
    told = [matched(graph, how) for graph in graphs]
    draws = np.random.default_rng(child(config.seed, "merge")).integers(0, len(graphs), (config.resamples, len(graphs)))
    nodes = _stability([one.effect for one in told], draws, config)
    edges = _stability([one.signed for one in told], draws, config)
    always = [row["share"] == 1 for row in edges]
    stable = [row["low"] * row["high"] > 0 for row in edges]
    return Result(
        kind="graph_merge",
        scalars={
            "prompts": float(len(graphs)),
            "nodes": float(len(nodes)),
            "edges": float(len(edges)),
            "edges_in_all": float(sum(always)),
            "edges_stable": float(sum(stable)),
            "edge_influence_in_all": _carried(told, edges, always),
            "edge_influence_stable": _carried(told, edges, stable),
        },
        tables={
            "nodes": [{"node": row.pop("name"), **row} for row in nodes[: config.rows]],
            "edges": [_edge_row(row) for row in edges[: config.rows]],
        },
        params={**config.model_dump(), "matched": how, "prompts": [graph.prompt for graph in graphs]},
        inputs={f"graph {number}": graph.manifest.content_hash for number, graph in enumerate(graphs, 1)},
        notes=(f"nodes are matched by {how}", *NOTES),
        seed=config.seed,
    )


def _stability(columns: Sequence[Mapping[Any, float]], draws: np.ndarray, config: MergeConfig) -> list[dict[str, Any]]:
    names = sorted({name for column in columns for name in column})
    if not names:
        return []
    values = np.array([[column.get(name, 0.0) for name in names] for column in columns])
    present = np.array([[name in column for name in names] for column in columns])
    means, tail = values.mean(0), (1 - config.confidence) / 2
    order = sorted(range(len(names)), key=lambda i: (-abs(means[i]), names[i]))
    low, high = np.empty(len(names)), np.empty(len(names))
    for first in range(0, len(names), 4096):  # a chunk of names at a time: resamples x names would not fit
        some = slice(first, first + 4096)
        drawn = np.stack([values[rows, some].mean(0) for rows in draws])
        low[some], high[some] = np.quantile(drawn, [tail, 1 - tail], axis=0)
    same = (np.sign(values) == np.sign(means)) & present
    counts = present.sum(0)
    return [
        {
            "name": names[i],
            "in": int(counts[i]),
            "share": float(counts[i] / len(columns)),
            "mean": float(means[i]),
            "low": float(low[i]),
            "high": float(high[i]),
            "same_sign": float(same[:, i].sum() / counts[i]),
        }
        for i in order
    ]


def _edge_row(row: dict[str, Any]) -> dict[str, Any]:
    source, target = row["name"]
    return {"source": source, "target": target, **{key: value for key, value in row.items() if key != "name"}}


def _carried(told: Sequence[Matched], edges: Sequence[dict[str, Any]], chosen: Sequence[bool]) -> float:
    """Mean share of a graph's edge influence that the chosen edges carry."""
    names = [row["name"] for row, wanted in zip(edges, chosen, strict=True) if wanted]
    return sum(one.edges.get(name, 0.0) for one in told for name in names) / len(told)


def merged_graph(graphs: Sequence[CircuitGraph], config: MergeConfig | None = None) -> CircuitGraph:
    """One graph of what the prompts share: nodes and edges in at least `share` of them, with mean numbers.

    Prompts of one length only. Tokens that differ between prompts read `a|b`; an edge's weight is the mean over the
    graphs that have it.

    Raises:
        ConfigError: prompts of different length or models of different depth.
    """
    config = (config or MergeConfig()).model_copy(update={"match": "position"})
    how, first, least = matching(graphs, config), graphs[0], config.share * len(graphs)
    holders: dict[str, list[Node]] = {}
    for graph in graphs:
        for node in graph.nodes:
            holders.setdefault(name_of(node, how), []).append(node)
    kept = {name: _mean_node(nodes, len(graphs)) for name, nodes in holders.items() if len(nodes) >= least}
    order = sorted(kept, key=lambda name: (kept[name].layer, kept[name].position, kept[name].kind, kept[name].index))
    place = {name: number for number, name in enumerate(order)}
    weights: dict[tuple[int, int], list[float]] = {}
    biases: dict[str, list[float]] = {}
    for graph in graphs:
        names = [name_of(node, how) for node in graph.nodes]
        for name, bias in zip(names, graph.bias.tolist(), strict=True):
            biases.setdefault(name, []).append(bias)
        for s, t, weight in zip(graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), strict=True):
            if names[s] in place and names[t] in place:
                weights.setdefault((place[names[s]], place[names[t]]), []).append(weight)
    edges = sorted((pair, found) for pair, found in weights.items() if len(found) >= least)
    parents = {f"{n} {graph.manifest.name}": graph.manifest.content_hash for n, graph in enumerate(graphs, 1)}
    details = {**first.manifest.details, "merged": {"prompts": [graph.prompt for graph in graphs]}}
    manifest = Manifest(kind="graph", model=first.manifest.model, mask=first.manifest.mask, parents=parents,
                        config=first.manifest.config, details=details, seed=config.seed)  # fmt: skip
    metrics = list(dict.fromkeys(graph.metric for graph in graphs))
    return CircuitGraph(
        nodes=tuple(kept[name] for name in order),
        source=torch.tensor([pair[0] for pair, _ in edges], dtype=torch.long),
        target=torch.tensor([pair[1] for pair, _ in edges], dtype=torch.long),
        weight=torch.tensor([sum(found) / len(found) for _, found in edges]),
        bias=torch.tensor([sum(biases[name]) / len(biases[name]) for name in order]),
        tokens=tuple("|".join(dict.fromkeys(texts)) for texts in zip(*(g.tokens for g in graphs), strict=True)),
        token_ids=first.token_ids,
        n_layers=first.n_layers,
        metric=f"mean of {', '.join(metrics)}",
        metric_value=sum(graph.metric_value for graph in graphs) / len(graphs),
        scores={"prompts": float(len(graphs))},
        manifest=manifest,
    )


def _mean_node(nodes: Sequence[Node], graphs: int) -> Node:
    """Effect and influence as means over all graphs; activations over those that have the node."""
    one = nodes[0]
    labels = list(dict.fromkeys(node.label for node in nodes if node.label))
    return replace(
        one,
        activation=sum(node.activation for node in nodes) / len(nodes),
        pre_activation=sum(node.pre_activation for node in nodes) / len(nodes),
        influence=sum(node.influence for node in nodes) / graphs,
        effect=sum(node.effect for node in nodes) / graphs,
        label="|".join(labels),
    )
