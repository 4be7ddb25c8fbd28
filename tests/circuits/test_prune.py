"""Pruning: by influence, by edge influence, by a cap; what goes is recorded."""

from dataclasses import replace

import pytest
import torch
from circuits.small_circuits import DIFFERENCE, IDS, random_analysis

from workbench.circuits import PruneConfig, edge_influence, prune, trace
from workbench.core import CircuitGraph, Node


@pytest.fixture(scope="module")
def graph():
    model, dictionaries, _ = random_analysis("gemma3")
    return trace(model, dictionaries, IDS, DIFFERENCE)


def inner(graph: CircuitGraph) -> list[Node]:
    return [node for node in graph.nodes if node.kind in ("feature", "error")]


def test_everything_stays_when_nothing_is_asked_to_go(graph):
    whole = prune(graph, PruneConfig(node_share=1, edge_share=1, max_features=None, max_errors=None))
    reaching = {int(source) for source in graph.source}
    assert len(inner(whole)) == sum(graph.nodes.index(node) in reaching for node in inner(graph))
    assert whole.scores["pruned_influence_kept"] == pytest.approx(1, abs=1e-6)


def test_nodes_are_kept_by_cumulative_influence(graph):
    small = prune(graph, PruneConfig(node_share=0.7, edge_share=1, max_features=None, max_errors=None))
    ranked = sorted((n for n in graph.nodes if n.kind != "logit"), key=lambda n: -n.influence)
    total, reached, wanted = sum(n.influence for n in ranked), 0.0, set()
    for node in ranked:
        if reached < 0.7 * total:
            wanted.add(node.id)
        reached += node.influence
    kept = {node.id for node in inner(small)}
    assert kept <= wanted
    assert small.scores["pruned_nodes_by_influence_alone"] == sum(n.id in wanted for n in inner(graph))
    assert len(kept) > 5


def test_the_cap_keeps_the_largest_effects_and_all_tokens(graph):
    small = prune(graph, PruneConfig(node_share=1, edge_share=1, max_features=5, max_errors=2))
    features = [node for node in small.nodes if node.kind == "feature"]
    best = sorted((n for n in graph.nodes if n.kind == "feature"), key=lambda n: -abs(n.effect))[:5]
    assert {node.id for node in features} <= {node.id for node in best}
    assert sum(node.kind == "error" for node in small.nodes) <= 2
    assert len(small.find("embed")) == len(graph.tokens)
    assert small.find("logit")
    assert small.scores["pruned_nodes_removed"] == len(graph.nodes) - len(small.nodes)
    assert small.manifest.details["pruned"]["max_features"] == 5


def test_edges_keep_their_weights_and_the_share_asked_for(graph):
    whole = prune(graph, PruneConfig(node_share=1, edge_share=1, max_features=None, max_errors=None))
    small = prune(graph, PruneConfig(node_share=1, edge_share=0.9, max_features=None, max_errors=None))
    weight = {tuple(edge): w for *edge, w in graph.df("edges").itertuples(index=False)}
    assert all(weight[(source, target)] == w for source, target, w in small.df("edges").itertuples(index=False))
    worth = edge_influence(whole)[1]
    assert len(small.weight) < len(whole.weight)
    smallest = worth.sort(descending=True).values
    enough = int((smallest.cumsum(0) / smallest.sum() < 0.9).sum()) + 1
    assert len(small.weight) <= enough


def test_nothing_dangles(graph):
    small = prune(graph, PruneConfig(node_share=0.8, edge_share=0.5, max_features=6, max_errors=1))
    sources, targets = set(small.source.tolist()), set(small.target.tolist())
    for number, node in enumerate(small.nodes):
        if node.kind in ("feature", "error"):
            assert number in sources
        if node.kind == "feature":
            assert number in targets


def test_influence_of_the_whole_graph_is_found_again_from_its_edges(graph):
    found, _ = edge_influence(graph)
    assert torch.allclose(found, torch.tensor([n.influence for n in graph.nodes]).double(), atol=1e-6)


@pytest.mark.parametrize("kind", ["neuron", "code", "head"])
def test_the_cap_holds_for_every_kind_of_unit(graph, kind):
    features = graph.find("feature")
    nodes = tuple(replace(node, kind=kind) if i in features[::2] else node for i, node in enumerate(graph.nodes))
    mixed = replace(graph, nodes=nodes)
    plain = prune(graph, PruneConfig(node_share=1, edge_share=1, max_features=5, max_errors=2))
    small = prune(mixed, PruneConfig(node_share=1, edge_share=1, max_features=5, max_errors=2))
    assert len(small.find("feature")) + len(small.find(kind)) <= 5
    place = [(node.layer, node.index, node.position) for node in small.nodes]
    assert place == [(node.layer, node.index, node.position) for node in plain.nodes]
