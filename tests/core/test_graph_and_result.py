import numpy as np
import pytest
import torch

from workbench.core import CircuitGraph, Node, Result, Site, Unit, as_json


def graph() -> CircuitGraph:
    unit = Unit("transcoder", "demo", Site("mlp_in", 0), 7)
    nodes = (
        Node("embed", -1, 1, 42, influence=0.5, effect=2.0),
        Node("feature", 0, 1, 7, unit, activation=1.5, pre_activation=1.5, influence=0.3, effect=-3.0),
        Node("error", 0, 1),
        Node("logit", 2, 1, 0, activation=1.0),
    )
    source, target = torch.tensor([0, 1, 2]), torch.tensor([1, 3, 3])
    weight, bias = torch.tensor([2.0, -3.0, 0.5]), torch.tensor([0.0, -0.5, 0.0, 3.5])
    return CircuitGraph(nodes, source, target, weight, bias, ("<bos>", " a"), (0, 42), 2, "logit a", 1.0)


def test_round_trip(tmp_path):
    saved = graph().save(tmp_path / "g")
    loaded = CircuitGraph.load(tmp_path / "g")
    assert loaded.manifest.content_hash == saved.manifest.content_hash != ""
    assert [node.id for node in loaded.nodes] == [node.id for node in saved.nodes]
    assert loaded.nodes[1] == saved.nodes[1]
    assert torch.equal(loaded.weight, saved.weight)


def test_find_top_subgraph_and_tables():
    g = graph()
    assert g.find("feature", layer=0) == [1]
    assert g.top(1, "feature") == [1]
    assert g.number("error:0:0:1") == 2
    with pytest.raises(KeyError, match="no node"):
        g.number("error:9:0:1")
    part = g.subgraph([0, 1])
    assert (len(part.nodes), part.source.tolist(), part.target.tolist()) == (2, [0], [1])
    assert list(g.df("edges").columns) == ["source", "target", "weight"]
    assert g.df().token.tolist() == [" a"] * 4
    assert g.networkx().edges["feature:0:7:1", "logit:2:0:1"]["weight"] == -3.0


def test_result_round_trip_and_id(tmp_path):
    result = Result("evaluation", {"fvu": 0.3, "bad": float("nan")}, {"t": [{"layer": 0}]}, {"h": np.arange(3)}, seed=1)
    result.save(tmp_path / "r")
    back = Result.load(tmp_path / "r")
    assert back.scalars["bad"] is None
    assert back.arrays["h"].tolist() == [0, 1, 2]
    assert back.df().layer.tolist() == [0]
    assert result.id == Result("evaluation", {"fvu": 0.3, "bad": float("nan")}, {"t": [{"layer": 0}]},
                               {"h": np.arange(3)}, seed=1).id  # fmt: skip
    assert result.id != Result("evaluation", {"fvu": 0.4}).id


def test_json_data_holds_no_nan_and_no_numpy():
    data = {"a": [np.float64(1.5), float("nan")], 2: (np.int64(3), "x", None)}
    assert as_json(data) == {"a": [1.5, None], "2": [3, "x", None]}
