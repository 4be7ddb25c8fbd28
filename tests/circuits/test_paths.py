"""Strongest paths against every path written out."""

import itertools

import torch
from hypothesis import given, strategies as st

from workbench.circuits import strongest_paths
from workbench.core import CircuitGraph, Node


def random_graph(seed: int, per_layer: int = 3, layers: int = 3) -> CircuitGraph:
    draw = torch.Generator().manual_seed(seed)
    nodes = [Node("embed", -1, t) for t in range(per_layer)]
    nodes += [Node("feature", layer, 0, index) for layer in range(layers) for index in range(per_layer)]
    nodes.append(Node("logit", layers, 0))
    pairs = [(s, t) for t, to in enumerate(nodes) for s, of in enumerate(nodes) if of.layer < to.layer]
    kept = torch.rand(len(pairs), generator=draw) < 0.7
    source, target = (torch.tensor([pair[i] for pair, k in zip(pairs, kept, strict=True) if k]) for i in (0, 1))
    weight, empty = torch.randn(len(source), generator=draw), torch.zeros(len(nodes))
    tokens = tuple("abc"[:per_layer])
    return CircuitGraph(tuple(nodes), source, target, weight, empty, tokens, (0, 1, 2), layers, "m", 1.0)


def every_path(graph: CircuitGraph, first: int, last: int) -> list[tuple[float, tuple[int, ...]]]:
    sums = torch.zeros(len(graph.nodes)).index_add(0, graph.target, graph.weight.abs())
    edges = {
        (s, t): w / float(sums[t])
        for s, t, w in zip(graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), strict=True)
    }
    found, inner = [], range(first + 1, last)
    for n in range(len(inner) + 1):
        for middle in itertools.combinations(inner, n):
            trail = (first, *middle, last)
            steps = list(itertools.pairwise(trail))
            if all(step in edges for step in steps):
                strength = 1.0
                for step in steps:
                    strength *= edges[step]
                found.append((strength, trail))
    return sorted(found, key=lambda one: -abs(one[0]))


@given(seed=st.integers(0, 30), k=st.integers(1, 6))
def test_the_strongest_paths_are_the_first_of_all_paths(seed, k):
    graph = random_graph(seed)
    last = len(graph.nodes) - 1
    wanted = every_path(graph, 0, last)
    result = strongest_paths(graph, graph.nodes[0].id, graph.nodes[last].id, k)
    rows = result.tables["paths"]
    assert len(rows) == min(k, len(wanted))
    for row, (strength, trail) in zip(rows, wanted, strict=False):
        assert abs(row["strength"] - abs(strength)) < 1e-5
        assert row["sign"] == (1 if strength > 0 else -1)
        assert row["nodes"] == [graph.nodes[i].id for i in trail]
    assert abs(result.scalars["flow"] - sum(abs(strength) for strength, _ in wanted)) < 1e-4


def test_there_is_no_path_downwards_and_none_from_a_node_to_itself():
    graph = random_graph(0)
    first, last = graph.nodes[0].id, graph.nodes[-1].id
    assert strongest_paths(graph, last, first).tables["paths"] == []
    assert strongest_paths(graph, first, first).scalars["carried"] == 0
    assert strongest_paths(graph, first, last).fig() is not None
