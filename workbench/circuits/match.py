"""Nodes and edges of several graphs under common names, so that they can be laid beside each other."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.core import CircuitGraph, ConfigError, Node

from .group_config import CompareConfig
from .prune import edge_influence

Edge = tuple[str, str]


@dataclass(frozen=True)
class Matched:
    """One graph's numbers by common name.

    effect, influence: of nodes. edges: influence of each edge as a share of the graph's; signed: the same with the
    weight's sign. Under `unit` they are sums over positions.
    """

    effect: dict[str, float]
    influence: dict[str, float]
    edges: dict[Edge, float]
    signed: dict[Edge, float]


def matching(graphs: Sequence[CircuitGraph], config: CompareConfig) -> str:
    """`position` where all prompts are equally long, else `unit`, unless the config says which.

    Raises:
        ConfigError: positions asked for, prompts of different length; or graphs of models of different depth.
    """
    if len({graph.n_layers for graph in graphs}) > 1:
        found = f"models of {', '.join(str(graph.n_layers) for graph in graphs)} layers"
        raise ConfigError("only graphs of one model can be laid beside each other", found=found)
    lengths = sorted({len(graph.tokens) for graph in graphs})
    if config.match == "position" and len(lengths) > 1:
        found = f"prompts of {', '.join(map(str, lengths))} tokens"
        raise ConfigError("matching by position wants prompts of one length", found=found, hint="match by unit")
    if config.match == "auto":
        return "position" if len(lengths) == 1 else "unit"
    return config.match


def name_of(node: Node, how: str) -> str:
    """What a node is called in every graph; embeddings and outputs are matched by place, not by token."""
    if node.kind == "logit":
        return f"logit:{node.index}"
    place = f"@{node.position}" if how == "position" else ""
    return f"embed{place}" if node.kind == "embed" else f"{node.kind}:{node.layer}:{node.index}{place}"


def matched(graph: CircuitGraph, how: str) -> Matched:
    """A graph's nodes and edges by common name."""
    names = [name_of(node, how) for node in graph.nodes]
    effect: dict[str, float] = defaultdict(float)
    influence: dict[str, float] = defaultdict(float)
    for name, node in zip(names, graph.nodes, strict=True):
        if node.kind != "logit":
            effect[name] += node.effect
            influence[name] += node.influence
    worth = edge_influence(graph)[1]
    total = float(worth.sum()) or 1.0
    edges: dict[Edge, float] = defaultdict(float)
    signed: dict[Edge, float] = defaultdict(float)
    columns = zip(graph.source.tolist(), graph.target.tolist(), (worth / total).tolist(), graph.weight.tolist(),
                  strict=True)  # fmt: skip
    for source, target, share, weight in columns:
        edge = (names[source], names[target])
        edges[edge] += share
        signed[edge] += share if weight > 0 else -share
    return Matched(dict(effect), dict(influence), dict(edges), dict(signed))
