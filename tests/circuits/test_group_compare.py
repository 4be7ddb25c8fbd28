"""Supernodes, comparing and merging: on graphs made by hand, where the answer is plain."""

from dataclasses import replace

import pytest
import torch

from workbench.circuits import (
    CompareConfig,
    GroupConfig,
    Grouping,
    MergeConfig,
    Supernode,
    compare,
    grouped_edges,
    likeness,
    merge,
    merged_graph,
    overlap,
    suggest_groups,
)
from workbench.core import CircuitGraph, ConfigError, Node, Result, Site, Unit


def hand_graph(scale: float = 1.0, extra: bool = True, tokens: tuple[str, ...] = ("a", " b")) -> CircuitGraph:
    """Two features of layer 0 in the same role, one of layer 1, an error; everything ends in one output."""
    last = len(tokens) - 1

    def unit(layer, index):
        return Unit("transcoder", "demo", Site("mlp_in", layer), index)

    nodes = [
        Node("embed", -1, 0, 5, influence=0.4, effect=1.0, label=tokens[0]),
        Node("feature", 0, 0, 3, unit(0, 3), 1.0, 1.0, 0.2, 2.0 * scale),
        Node("feature", 0, 0, 7, unit(0, 7), 1.0, 1.0, 0.2, 1.0 * scale),
        Node("error", 0, 0, 0, influence=0.1, effect=0.1),
        Node("feature", 1, last, 2, unit(1, 2), 1.0, 1.0, 0.6, 4.0),
        Node("logit", 2, last, 0, None, 3.0, 3.0, 1.0, 3.0, "cat"),
    ]
    edges = [(0, 1, 1.0), (0, 2, 1.0), (1, 4, 2.0 * scale), (2, 4, 2.0 * scale), (3, 4, 0.5), (4, 5, 4.0)]
    edges += [(0, 5, -1.0)] if extra else []
    source, target, weight = zip(*edges, strict=True)
    return CircuitGraph(
        tuple(nodes), torch.tensor(source), torch.tensor(target), torch.tensor(weight), torch.zeros(len(nodes)),
        tokens, tuple(range(len(tokens))), 2, "logit", 3.0,
    )  # fmt: skip


def windows(*rows: tuple[int, int, list[str]]) -> Result:
    told = [
        {"unit": f"transcoder:demo:mlp_in.{layer}:{index}", "tokens": words, "values": [1.0] * len(words)}
        for layer, index, words in rows
    ]
    return Result("contexts", tables={"contexts": told})


def test_nodes_in_the_same_role_are_grouped():
    grouping = suggest_groups(hand_graph(), config=GroupConfig(similarity=0.9))
    assert [set(one.members) for one in grouping.groups] == [{"feature:0:3:0", "feature:0:7:0"}]
    assert "role 1.00" in grouping.groups[0].rationale


def test_unlike_contexts_keep_them_apart():
    told = windows((0, 3, ["cat", " Cat"]), (0, 7, ["dog"]), (1, 2, ["cat"]))
    parts = likeness(hand_graph(), [1, 2, 4], contexts=told)
    assert parts["contexts"][0, 1] == 0
    assert parts["contexts"][0, 2] == pytest.approx(1)
    assert not suggest_groups(hand_graph(), contexts=told, config=GroupConfig(similarity=0.9)).groups
    joined = suggest_groups(hand_graph(), contexts=told, config=GroupConfig(role=0, similarity=0.9))
    assert [set(one.members) for one in joined.groups] == [{"feature:0:3:0", "feature:1:2:1"}]
    far = GroupConfig(role=0, similarity=0.9, layers_apart=0)
    assert not suggest_groups(hand_graph(), contexts=told, config=far).groups


def test_groups_are_edited_as_values_and_survive_json():
    first = Grouping((Supernode("one", ("a", "b"), "why"), Supernode("two", ("c",))))
    assert first.rename("one", "uno").group("uno").members == ("a", "b")
    assert first.merge(["one", "two"], "all").groups == (Supernode("all", ("a", "b", "c"), "why"),)
    assert first.move("a", "two").group("two").members == ("c", "a")
    assert first.move("c", None).groups == (first.groups[0],)
    assert first.move("c", "three").of("c") == "three"
    assert first.remove("two").of("c") is None
    assert Grouping.from_json(first.to_json()) == first
    with pytest.raises(ConfigError, match="two groups hold 'a'"):
        Grouping((Supernode("one", ("a",)), Supernode("two", ("a",))))
    with pytest.raises(ConfigError, match="did you mean one"):
        first.group("on")
    with pytest.raises(ConfigError, match="no such node"):
        first.check(hand_graph())
    for junk in (3, [3], [{"name": 1, "members": []}], [{"name": "x", "members": [1]}], [{"name": "x", "members": []}]):
        with pytest.raises(ConfigError):
            Grouping.from_json(junk)


def test_edges_between_groups_add_up():
    graph = hand_graph()
    apart = grouped_edges(graph, Grouping(), most=100)
    joined = grouped_edges(graph, Grouping((Supernode("pair", ("feature:0:3:0", "feature:0:7:0")),)), most=100)
    assert sum(abs(row["weight"]) for row in apart) == pytest.approx(1)
    assert sum(row["weight"] for row in joined) == pytest.approx(sum(row["weight"] for row in apart))
    (pair,) = [row for row in joined if row["source"] == "pair"]
    assert pair["edges"] == 2


def test_a_graph_agrees_with_itself_and_chance_does_not():
    found = compare(hand_graph(), hand_graph())
    assert found.scalars["node_overlap"] == found.scalars["edge_overlap"] == 1
    assert found.scalars["effect_r"] == pytest.approx(1)
    assert all(row["difference"] == 0 for row in found.tables["nodes"])
    (row,) = [row for row in found.tables["scores"] if row["score"] == "feature_overlap"]
    assert row["shuffled_mean"] < 1


def test_differences_are_found_and_ordered():
    found = compare(hand_graph(), hand_graph(2.0, extra=False))
    assert found.tables["nodes"][0]["node"] == "feature:0:3@0"
    assert found.tables["nodes"][0]["difference"] == 2.0
    lost = [row for row in found.tables["edges"] if (row["source"], row["target"]) == ("embed@0", "logit:0")]
    assert lost[0]["first"] < 0
    assert lost[0]["second"] == 0
    assert overlap({"a": 1.0, "b": 1.0}, {"a": 1.0, "c": 2.0}) == 1 / 4


def test_prompts_of_other_length_are_matched_by_unit():
    longer = hand_graph(tokens=("a", " b", " c"))
    found = compare(hand_graph(), longer)
    assert found.params["matched"] == "unit"
    assert found.scalars["node_overlap"] == 1
    with pytest.raises(ConfigError, match="one length"):
        compare(hand_graph(), longer, CompareConfig(match="position"))
    with pytest.raises(ConfigError, match="one model"):
        compare(hand_graph(), replace(hand_graph(), n_layers=3))


def test_merging_tells_stable_edges_from_the_rest():
    graphs = [hand_graph(), hand_graph(), hand_graph(extra=False), hand_graph()]
    found = merge(graphs, MergeConfig(resamples=200))
    rows = {(row["source"], row["target"]): row for row in found.tables["edges"]}
    steady, shaky = rows["feature:1:2@1", "logit:0"], rows["embed@0", "logit:0"]
    assert (steady["in"], steady["share"], steady["same_sign"]) == (4, 1, 1)
    assert 0 < steady["low"] <= steady["mean"] <= steady["high"]
    assert (shaky["in"], shaky["same_sign"]) == (3, 1)
    assert shaky["low"] < shaky["mean"] < shaky["high"] <= 0
    assert found.scalars["edges_in_all"] == len(rows) - 1
    assert merge(graphs, MergeConfig(resamples=200)).to_json() == found.to_json()
    with pytest.raises(ConfigError, match="at least two"):
        merge(graphs[:1])


def test_the_merged_graph_holds_means_of_what_is_shared():
    graphs = [hand_graph(1.0), hand_graph(3.0, extra=False, tokens=("x", " b"))]
    made = merged_graph(graphs, MergeConfig(share=0.6))
    assert made.tokens == ("a|x", " b")
    assert len(made.weight) == 6
    assert made.nodes[made.number("feature:0:3:0")].effect == pytest.approx(4.0)
    edges = made.df("edges").set_index(["source", "target"])["weight"]
    assert edges["feature:0:3:0", "feature:1:2:1"] == pytest.approx(4.0)
    assert len(merged_graph(graphs, MergeConfig(share=0.5)).weight) == 7


def test_results_are_drawn():
    import workbench.figures.renderers  # noqa: F401

    assert compare(hand_graph(), hand_graph(2.0)).fig().data
    assert merge([hand_graph(), hand_graph(2.0)], MergeConfig(resamples=20)).fig().data
