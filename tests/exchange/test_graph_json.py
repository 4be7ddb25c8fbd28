"""Graph JSON: everything survives, shared ids are read right, damaged files give one line."""

import contextlib
import copy
import gzip
import json

import pytest
from hypothesis import given, settings, strategies as st
from sample_graphs import graphs, same

from workbench.core import ArtifactError
from workbench.exchange import GraphFile, graph_document, graph_from_document, read_graph, write_graph
from workbench.exchange.graph_json import cantor, node_ids
from workbench.exchange.graph_json_foreign import unpair


@settings(max_examples=80, deadline=None)
@given(graphs(), st.data())
def test_any_graph_survives_writing_and_reading(graph, data):
    ids = [node.id for node in graph.nodes]
    some = st.lists(st.sampled_from(ids), max_size=3).map(tuple) if ids else st.just(())
    groups = data.draw(st.lists(st.tuples(st.text(max_size=4), some), max_size=2).map(tuple))
    pinned = data.draw(some)
    document = graph_document(graph, "g", pinned=pinned, supernodes=groups)
    back = graph_from_document(json.loads(json.dumps(document, allow_nan=False)))
    assert same(back.graph, graph)
    assert (back.pinned, back.supernodes) == (pinned, groups)
    names = [node["node_id"] for node in document["nodes"]]
    assert len(set(names)) == len(names)


@settings(max_examples=10, deadline=None)
@given(graphs())
def test_files_survive_too(tmp_path_factory, graph):
    folder = tmp_path_factory.mktemp("graphs")
    for name in ("g.json", "g.json.gz", "folder"):
        written = write_graph(GraphFile(graph, "slug"), folder / name)
        assert same(read_graph(written).graph, graph)
    assert json.loads((folder / "folder" / "graph-metadata.json").read_text())["graphs"][0]["slug"] == "slug"


@given(st.integers(0, 2**20), st.integers(0, 2**40))
def test_pairing_is_undone_beyond_floats(layer, index):
    assert unpair(cantor(layer, index)) == (layer, index)


def feature(layer, index, position, **more):
    return {
        "node_id": f"{layer}_{index}_{position}", "feature": cantor(layer, index), "layer": str(layer),
        "ctx_idx": position, "feature_type": "cross layer transcoder", "jsNodeId": f"{layer}_{index}-0", "clerp": "",
        **more,
    }  # fmt: skip


def error(layer, position, old=True):
    name = f"0_{layer}_{position}" if old else f"{layer}_-1_{position}"
    return {
        "node_id": name, "feature": -1, "layer": str(layer), "ctx_idx": position,
        "feature_type": "mlp reconstruction error", "jsNodeId": f"{layer}_{position}-0", "clerp": "",
    }  # fmt: skip


def collision() -> dict:
    """Feature 2 of layer 0 and the error of layer 2, both at position 1, are both `0_2_1`."""
    token = {"node_id": "E_17_1", "feature": 1, "layer": "E", "ctx_idx": 1, "feature_type": "embedding",
             "jsNodeId": "E_17-1", "clerp": ""}  # fmt: skip
    logit = {"node_id": "5_9_1", "feature": 9, "layer": "5", "ctx_idx": 1, "feature_type": "logit", "token_prob": 0.5,
             "jsNodeId": "L_9-1", "clerp": 'Output " cat" (p=0.500)'}  # fmt: skip
    nodes = [feature(0, 2, 1, influence=0.5), feature(1, 4, 1, influence=0.9), feature(3, 7, 1, influence=0.7)]
    nodes += [error(2, 1), token, logit]
    links = [
        ("E_17_1", "0_2_1", 1.0),  # nothing leads into an error: the feature's
        ("0_2_1", "1_4_1", 2.0),  # layer 1 lies below the error: the feature's
        ("0_2_1", "3_7_1", 3.0),  # before a later feature: the feature's
        ("1_4_1", "3_7_1", 4.0),
        ("0_2_1", "3_7_1", 5.0),  # the second of two: the error's
        ("1_4_1", "5_9_1", 6.0),
        ("3_7_1", "5_9_1", 7.0),
        ("0_2_1", "5_9_1", 8.0),  # after the features: the error's
        ("E_17_1", "5_9_1", 9.0),
    ]
    return {
        "metadata": {"slug": "hand", "scan": "tiny", "prompt": "a cat", "prompt_tokens": ["a", " cat"]},
        "qParams": {"pinnedIds": ["1_4_1", "gone"], "supernodes": [["two", "1_4_1", "3_7_1"]]},
        "nodes": nodes,
        "links": [{"source": s, "target": t, "weight": w} for s, t, w in links],
    }


def edges_of(graph) -> dict[float, tuple[str, str]]:
    ids = [node.id for node in graph.nodes]
    columns = zip(graph.weight.tolist(), graph.source.tolist(), graph.target.tolist(), strict=True)
    return {weight: (ids[source], ids[target]) for weight, source, target in columns}


def test_ids_that_two_nodes_share_are_told_apart():
    back = graph_from_document(collision())
    low, high = "feature:0:2:1", "feature:3:7:1"
    assert edges_of(back.graph) == {
        1.0: ("embed:-1:17:1", low),
        2.0: (low, "feature:1:4:1"),
        3.0: (low, high),
        4.0: ("feature:1:4:1", high),
        5.0: ("error:2:0:1", high),
        6.0: ("feature:1:4:1", "logit:4:9:1"),
        7.0: (high, "logit:4:9:1"),
        8.0: ("error:2:0:1", "logit:4:9:1"),
        9.0: ("embed:-1:17:1", "logit:4:9:1"),
    }
    assert not any("share" in note for note in back.notes)
    assert back.pinned == ("feature:1:4:1",)
    assert back.supernodes == (("two", ("feature:1:4:1", high)),)
    assert back.graph.n_layers == 4
    shares = {node.id: node.influence for node in back.graph.nodes}
    assert (shares[low], shares[high], shares["logit:4:9:1"]) == pytest.approx((0.5, 0.2, 1))
    assert back.graph.nodes[-1].label == " cat"


def test_a_link_that_may_be_either_is_said_to_be():
    data = collision()
    data["links"] = [{"source": "0_2_1", "target": "3_7_1", "weight": 1.0}]
    back = graph_from_document(data)
    assert edges_of(back.graph)[1.0][0] == "feature:0:2:1"
    assert any("share" in note for note in back.notes)


def test_written_again_nothing_collides():
    graph = graph_from_document(collision()).graph
    names = node_ids(graph)
    assert {"0_2_1", "2_-1_1"} <= set(names)
    assert same(graph_from_document(graph_document(graph)).graph, graph)


def test_new_ids_whole_layers_and_unknown_types_are_read():
    data = collision()
    data["nodes"][3] = error(2, 1, old=False)
    for node in data["nodes"]:
        node["layer"] = int(node["layer"]) if node["layer"] != "E" else "E"
    data["nodes"][1] |= {"feature_type": "lorsa", "node_id": "odd", "feature": 6}
    data["links"] = [{"source": "2_-1_1", "target": "3_7_1", "weight": 1}, {"source": "odd", "target": "3_7_1",
                     "weight": 2}]  # fmt: skip
    back = graph_from_document(data)
    assert edges_of(back.graph) == {1: ("error:2:0:1", "feature:3:7:1"), 2: ("head:1:6:1", "feature:3:7:1")}


def changed(change) -> dict:
    data = copy.deepcopy(collision())
    change(data)
    return data


HOSTILE = {
    "no object": lambda d: d.clear(),
    "nodes": lambda d: d.update(nodes="many"),
    "node": lambda d: d["nodes"].append(7),
    "id": lambda d: d["nodes"][0].update(node_id=3),
    "twice": lambda d: d["nodes"].append(feature(0, 2, 1)),
    "layer": lambda d: d["nodes"][0].update(layer="x"),
    "far layer": lambda d: d["nodes"][0].update(layer=10**30),
    "position": lambda d: d["nodes"][0].update(ctx_idx=99),
    "negative position": lambda d: d["nodes"][0].update(ctx_idx=-1),
    "true position": lambda d: d["nodes"][0].update(ctx_idx=True),
    "activation": lambda d: d["nodes"][0].update(activation=[1]),
    "huge feature": lambda d: d["nodes"][0].update(feature=10**40),
    "link": lambda d: d["links"].append("x"),
    "nobody": lambda d: d["links"].append({"source": "q", "target": "0_2_1", "weight": 1}),
    "weight": lambda d: d["links"][0].update(weight="heavy"),
    "infinite": lambda d: d["links"][0].update(weight=1e39),
    "backwards": lambda d: d["links"].append({"source": "3_7_1", "target": "1_4_1", "weight": 1}),
    "itself": lambda d: d["links"].append({"source": "1_4_1", "target": "1_4_1", "weight": 1}),
    "tokens": lambda d: d["metadata"].update(prompt_tokens=[1]),
    "version": lambda d: d["metadata"].update(schema_version=9),
    "supernodes": lambda d: d["qParams"].update(supernodes=[5]),
    "own part": lambda d: d.update(workbench=3),
    "own nodes": lambda d: d.update(workbench={}),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_damaged_graphs_give_one_line(change):
    with pytest.raises(ArtifactError) as raised:
        graph_from_document(changed(change))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"metadata": NaN}',
        b"[" * 200_000,
        b"1" * 5000,
        gzip.compress(b"{}")[:-4],
        b"\x1f\x8bzz",
    ],
    ids=["empty", "open", "bytes", "nan", "deep", "long", "cut", "gzip"],
)
def test_what_is_no_json_gives_one_line(tmp_path, data):
    (tmp_path / "g.json").write_bytes(data)
    with pytest.raises(ArtifactError) as raised:
        read_graph(tmp_path / "g.json")
    assert "\n" not in str(raised.value)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_any_damage_to_a_written_graph_is_an_artifact_error(graph, data):
    document = json.loads(json.dumps(graph_document(graph)))
    target = data.draw(st.sampled_from([document, document["metadata"], document["workbench"], *document["nodes"],
                                        *(n["workbench"] for n in document["nodes"])]))  # fmt: skip
    key = data.draw(st.sampled_from(sorted(target)))
    junk = data.draw(st.one_of(st.none(), st.text(max_size=3), st.integers(), st.just([1]), st.just({"a": 1})))
    target[key] = junk
    with contextlib.suppress(ArtifactError):  # nothing else comes out
        graph_from_document(document)
