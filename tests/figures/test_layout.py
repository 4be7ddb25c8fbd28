from dataclasses import replace

import pytest
import sample_study as study

from workbench.figures import lay_out, ranked
from workbench.figures.layout import choose_edges, choose_nodes


@pytest.fixture(scope="module")
def graph():
    return study.graph()


@pytest.mark.parametrize("limit", [5, 20, 60, 400])
def test_at_most_so_many_nodes_are_drawn_and_the_logit_is_one(graph, limit):
    chosen = choose_nodes(graph, limit)
    assert len(chosen) == len(set(chosen))
    assert sum(graph.nodes[i].kind != "embed" for i in chosen) <= limit
    assert set(graph.find("logit")) <= set(chosen)


def test_drawn_features_are_those_with_the_largest_effect(graph):
    drawn = [i for i in choose_nodes(graph, 60) if graph.nodes[i].kind == "feature"]
    assert set(drawn) == set(graph.top(len(drawn)))


@pytest.mark.parametrize("limit", [10, 60, 200])
def test_no_two_nodes_overlap(graph, limit):
    nodes = lay_out(graph, limit).nodes
    for i, one in enumerate(nodes):
        for two in nodes[:i]:
            apart = ((one.x - two.x) ** 2 + (one.y - two.y) ** 2) ** 0.5
            assert apart >= one.radius + two.radius, (one.node.id, two.node.id)


def test_many_nodes_of_one_cell_are_spread(graph):
    last = len(graph.tokens) - 1
    crowd = tuple(replace(n, layer=5, position=last) if n.kind == "feature" else n for n in graph.nodes)
    nodes = [n for n in lay_out(replace(graph, nodes=crowd), 40).nodes if n.node.kind == "feature"]
    assert len({(n.x, n.y) for n in nodes}) == len(nodes) >= 20


def test_layers_rise_and_positions_go_right(graph):
    drawing = lay_out(graph)
    for edge in drawing.edges:
        one, two = drawing.nodes[edge.source], drawing.nodes[edge.target]
        assert one.y > two.y
    centres = [column.x for column in drawing.columns]
    assert centres == sorted(centres)
    for node in drawing.nodes:
        column = drawing.columns[node.node.position]
        assert column.x <= node.x <= column.x + column.width


def test_an_edge_share_is_of_all_input_of_its_target(graph):
    target = graph.number(next(graph.nodes[i].id for i in graph.find("logit")))
    incoming = graph.weight[graph.target == target].abs().sum().item()
    for _, t, weight, share in choose_edges(graph, range(len(graph.nodes)), 10**6):
        if t == target:
            assert share == pytest.approx(abs(weight) / incoming, rel=1e-5)


def test_the_same_graph_is_laid_out_the_same_way(graph):
    assert lay_out(graph) == lay_out(graph)


def test_ranks_number_the_nodes_from_the_logit_down(graph):
    drawing = lay_out(graph)
    by_rank = sorted(drawing.nodes, key=lambda n: n.rank)
    assert [n.rank for n in by_rank] == list(range(1, len(by_rank) + 1))
    assert by_rank[0].node.kind == "logit"
    assert [n.number for n in by_rank] == ranked(graph, [n.number for n in drawing.nodes])


def test_a_graph_without_edges_or_effects_can_be_drawn(graph):
    bare = graph.subgraph(graph.find("embed"))
    bare = replace(bare, nodes=tuple(replace(n, effect=0.0, influence=0.1) for n in bare.nodes))
    assert lay_out(bare).edges == ()
