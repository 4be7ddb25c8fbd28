import torch

from workbench.core import CircuitGraph, Result
from workbench_app import drawing

from .samples import sample_graph


def test_connections_are_the_edges_of_a_node_with_shares_that_add_up():
    graph = sample_graph()
    target = graph.find("logit")[0]
    found = drawing.connections(graph, target, inputs=True)
    chosen = graph.target == target
    assert sorted(edge.weight for edge in found) == sorted(graph.weight[chosen].tolist())
    assert abs(sum(edge.share for edge in found) - 1) < 1e-5
    assert [abs(edge.weight) for edge in found] == sorted((abs(edge.weight) for edge in found), reverse=True)
    assert drawing.connections(graph, target, inputs=False) == []


def test_accounting_adds_up_by_kind():
    graph = sample_graph()
    target = graph.find("logit")[0]
    parts = drawing.accounting(graph, target)
    wanted = float(graph.weight[graph.target == target].sum())
    total = sum(value for name, value in parts.items() if name not in ("constant", "pre-activation"))
    assert abs(total - wanted) < 1e-4
    assert parts["pre-activation"] == 2.5


def test_a_large_graph_is_cut_to_what_the_browser_can_hold_and_the_rest_is_counted():
    graph = sample_graph(n_layers=40, per_cell=8)
    assert len(graph.nodes) > drawing.MAX_NODES
    data = drawing.payload(graph, drawing.names_of(graph, None))
    assert data["share"] == 0.9
    assert len(data["nodes"]) == drawing.MAX_NODES
    assert len(data["weight"]) <= drawing.MAX_EDGES
    assert data["total"] == {"nodes": len(graph.nodes), "edges": len(graph.weight)}
    kept = {node["id"] for node in data["nodes"]}
    left_out = [node for node in graph.nodes if node.id not in kept]
    assert all(node.kind not in ("embed", "logit") for node in left_out)
    weakest = min(node["influence"] for node in data["nodes"] if node["kind"] not in ("embed", "logit"))
    assert max(node.influence for node in left_out) <= weakest


def test_edges_of_the_payload_join_the_nodes_that_they_join_in_the_graph():
    graph = sample_graph()
    data = drawing.payload(graph, drawing.names_of(graph, None))
    assert data["share"] == 1
    ids = [node["id"] for node in data["nodes"]]
    drawn = {(ids[s], ids[t]) for s, t in zip(data["source"], data["target"], strict=True)}
    pairs = zip(graph.source.tolist(), graph.target.tolist(), strict=True)
    assert drawn == {(graph.nodes[s].id, graph.nodes[t].id) for s, t in pairs}


def test_features_are_named_by_what_they_promote():
    graph = sample_graph()
    node = next(node for node in graph.nodes if node.kind == "feature")
    row = {"unit": str(node.unit), "promoted": [[" she", 1.0], [" her", 0.5]], "suppressed": []}
    names = drawing.names_of(graph, Result("unit_effects", tables={"unit_effects": [row]}))
    assert names(node) == "L0 feature 0: she her"
    assert drawing.names_of(graph, None)(node) == "L0 feature 0"


def test_what_is_shown_first_is_the_target():
    graph = sample_graph()
    assert drawing.default_node(graph) == graph.nodes[graph.find("logit")[0]].id
    empty = torch.zeros(0)
    nothing = CircuitGraph((), empty.long(), empty.long(), empty, empty, (), (), 1, "m", 0.0)
    assert drawing.default_node(nothing) is None
