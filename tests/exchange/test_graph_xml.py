"""GraphML: any graph survives; hand-edited files are read; hostile ones give one line."""

import networkx
import pytest
from hypothesis import given, settings
from sample_graphs import graphs, same

from workbench.core import ArtifactError
from workbench.exchange import GraphFile, read_graph, write_graph


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_any_graph_survives_writing_and_reading(tmp_path_factory, graph):
    path = tmp_path_factory.mktemp("xml") / "g.graphml"
    pinned = tuple(node.id for node in graph.nodes[:2])
    file = GraphFile(graph, "g", pinned, (("a\x00b", pinned),))
    back = read_graph(write_graph(file, path, "graphml"))
    assert same(back.graph, graph)
    assert (back.slug, back.pinned, back.supernodes) == ("g", file.pinned, file.supernodes)


def small(tmp_path):
    from test_graph_json import collision

    from workbench.exchange import graph_from_document

    graph = graph_from_document(collision()).graph
    return graph, write_graph(GraphFile(graph, "g"), tmp_path / "g.graphml", "graphml")


def test_other_programs_read_it(tmp_path):
    graph, path = small(tmp_path)
    made = networkx.read_graphml(path)
    assert set(made) == {node.id for node in graph.nodes}
    assert made.nodes["feature:3:7:1"]["layer"] == 3
    assert sum(weight for _, _, weight in made.edges(data="weight")) == float(graph.weight.sum())


def test_nodes_deleted_elsewhere_are_gone(tmp_path):
    graph, path = small(tmp_path)
    made = networkx.read_graphml(path, force_multigraph=True)
    made.remove_node("feature:1:4:1")
    networkx.write_graphml_xml(made, path, named_key_ids=True)
    back = read_graph(path).graph
    assert same(back, graph.subgraph([i for i, node in enumerate(graph.nodes) if node.id != "feature:1:4:1"]))


BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="directed">&c;</graph></graphml>"""
EMPTY = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="{}"/></graphml>'


@pytest.mark.parametrize("text", ["", "<a", BOMB, "<a/>", EMPTY.format("directed"), EMPTY.format("undirected")])
def test_hostile_files_give_one_line(tmp_path, text):
    (tmp_path / "g.graphml").write_text(text)
    with pytest.raises(ArtifactError) as raised:
        read_graph(tmp_path / "g.graphml")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("old", "new"), [(">3<", ">three<"), ("</graph>", ""), (">7.0<", ">heavy<"), (">3<", ">99<")])
def test_damage_gives_one_line(tmp_path, old, new):
    _, path = small(tmp_path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ArtifactError) as raised:
        read_graph(path)
    assert "\n" not in str(raised.value)
