"""Weights-only connections against brute force: factors multiply to edges, paths add up to pre-activations."""

from itertools import pairwise

import pytest
import torch
from small_circuits import DIFFERENCE, IDS, build_hooked, random_analysis, random_dictionaries

from workbench.circuits import (
    Path,
    PathConfig,
    PathSearch,
    factor,
    find_paths,
    invariant_circuit,
    invariant_connection,
    trace,
)
from workbench.circuits.invariant import connections, de_embedding, reading, through
from workbench.core import ConfigError

PLAIN = ("llama", "gpt2", "qwen3")


def places(analysis, layer):
    units = analysis.replacement.layers[layer]
    return list(zip(units.index.tolist(), units.position.tolist(), strict=True))


@pytest.mark.parametrize("family", PLAIN)
def test_factors_of_all_paths_multiply_and_add_up_to_the_edge(family):
    """Between two layers there are the direct path and one head each: together they are the graph's exact edge."""
    model, dictionaries, analysis = random_analysis(family)
    numbers = torch.tensor([len(places(analysis, 1)) // 2, len(places(analysis, 1)) - 1])
    rows = analysis.sweep.unit_rows({1: numbers})
    sources = analysis.numbering.layers[0]
    for row, node in zip(rows.weight, rows.nodes.tolist(), strict=True):
        index, position = places(analysis, 1)[node - analysis.numbering.layers[1].first - 0 - _errors(analysis, node)]
        for number, (low, start) in list(enumerate(places(analysis, 0)))[::5]:
            ends = ((0, low, start), (1, index, position))
            heads = [None, *((1, head) for head in range(model.shape.n_heads))]
            parts = [factor(model, dictionaries, analysis, *ends, head) for head in heads] if start <= position else []
            edge = float(row[sources.unit_nodes[number]])
            assert sum(part.value for part in parts) == pytest.approx(edge, rel=1e-8, abs=1e-10)


def _errors(analysis, node):
    """Error nodes that stand before a unit's node in its layer."""
    return int((analysis.numbering.layers[1].error_nodes < node).sum())


@pytest.mark.parametrize("family", PLAIN)
def test_connections_and_de_embeddings_are_what_loops_give(family):
    model, _ = build_hooked(family, torch.float64)
    dictionaries = random_dictionaries(model)
    params = model.params()
    told = reading(model, dictionaries, 1, 3)
    headed = through(model, told, (1, 2))
    encoder = dictionaries.by_layer(1).readers(_one(3, dictionaries))
    gain = params["blocks.1.ln2.w"] * encoder.rows[0]
    group = 2 * model.shape.n_kv_heads // model.shape.n_heads
    layer_norm = model.shape.norm == "layer"
    for path, into in ((told, None), (headed, "head")):
        for token in (0, 7):
            vector = params["embed.W_E"][token]
            if into:
                vector = (vector - vector.mean() if layer_norm else vector) * params["blocks.1.ln1.w"]
                vector = vector @ params["blocks.1.attn.W_V"][group] @ params["blocks.1.attn.W_O"][2]
            vector = vector - vector.mean() if layer_norm else vector
            assert float(de_embedding(model, path)[token]) == pytest.approx(float(vector @ gain), abs=1e-12)
    found = connections(dictionaries, told)
    written = next(iter(dictionaries.by_layer(0).writers(torch.tensor([5])).values()))[0]
    written = written - written.mean() if layer_norm else written
    assert set(found) == {0}
    assert float(found[0][5]) == pytest.approx(float(written @ gain), abs=1e-12)


def _one(index, dictionaries):
    from workbench.core import Codes

    return Codes(torch.tensor([[index]]), torch.ones(1, 1), dictionaries.by_layer(1).width)


@pytest.mark.parametrize("family", PLAIN)
def test_one_step_back_in_every_way_adds_up(family):
    """A feature's input is linear in embeddings, features and heads: without errors, biases and skips it is complete.

    Here what is missing (errors, affine paths, biases, the first token) is counted by hand.
    """
    model, _, analysis = random_analysis(family)
    search = PathSearch(model, analysis)
    index, position = places(analysis, 0)[-1]
    units = analysis.replacement.layers[0]
    start = search.run(0, index, position, branches=1, rounds=1)[0]
    number = places(analysis, 0).index((index, position))
    tail = search._before_norm(0, units.readers[number], position)
    whole = Path((start.steps[0],), 0.0, tail, 0)
    steps = search.extend(whole)
    total = sum(path.value for path in steps)
    pulled = analysis.frozen.attention[0].pull_heads(_at(tail, position))[:, 0, 0]
    total += float((pulled @ search.resid[0][0]).sum())
    constant = analysis.biases()[analysis.numbering.layers[0].unit_nodes[number]]
    expected = float(units.pre_activation[number] - constant)
    assert total == pytest.approx(expected, rel=1e-8, abs=1e-9)


def _at(vector, position):
    v = vector.new_zeros(position + 1, 1, len(vector))
    v[position, 0] = vector
    return v


def test_the_search_finds_what_trying_every_path_finds():
    model, _, analysis = random_analysis("llama")
    search = PathSearch(model, analysis)
    index, position = places(analysis, 1)[-1]
    found = search.run(1, index, position, branches=10_000, rounds=2)
    greedy = search.run(1, index, position, branches=12, rounds=2)
    assert greedy[0].steps == found[0].steps
    assert all(abs(a.value) >= abs(b.value) for a, b in pairwise(greedy))
    assert any(path.steps[-1].kind == "head" for path in greedy)


def test_a_table_for_people_and_clear_errors():
    model, _ = build_hooked("llama", torch.float64)
    dictionaries = random_dictionaries(model)
    result = invariant_circuit(model, dictionaries, 1, 3, count=4)
    assert {row["through"] for row in result.tables["features"]} >= {"same token"}
    assert len(result.tables["tokens"]) == 4 * (1 + len(result.params["heads"]))
    with pytest.raises(ConfigError, match="no feature 99"):
        reading(model, dictionaries, 1, 99)
    with pytest.raises(ConfigError, match="no head"):
        through(model, reading(model, dictionaries, 0, 0), (1, 0))


def test_a_connection_lists_the_direct_way_and_every_head_between():
    model, dictionaries, _ = random_analysis("llama")
    result = invariant_connection(model, dictionaries, (0, 4), (1, 3), count=99)
    rows = {row["through"]: row for row in result.tables["ways"]}
    assert set(rows) == {"same token", *(f"1.{h}" for h in range(model.shape.n_heads))}
    told = reading(model, dictionaries, 1, 3)
    for name, way in (("same token", told), ("1.1", through(model, told, (1, 1)))):
        weights = connections(dictionaries, way)[0]
        assert rows[name]["weight"] == pytest.approx(float(weights[4]), rel=1e-9)
        assert rows[name]["larger"] == sum(abs(float(w)) > abs(float(weights[4])) for w in weights)
    with pytest.raises(ConfigError, match="does not come before"):
        invariant_connection(model, dictionaries, (1, 4), (1, 3))
    assert len(result.fig().data[0].x) == len(rows)


def test_paths_into_a_node_are_those_of_the_search_in_words():
    model, dictionaries, analysis = random_analysis("llama")
    graph = trace(model, dictionaries, IDS, DIFFERENCE)
    node = graph.nodes[graph.top(1)[0]]
    result = find_paths(model, dictionaries, graph, config=PathConfig(rounds=2, count=7))
    assert result.params["node"] == node.id
    wanted = PathSearch(model, analysis).run(node.layer, node.index, node.position, rounds=2)[:7]
    assert [row["value"] for row in result.tables["paths"]] == pytest.approx([path.value for path in wanted])
    for row, path in zip(result.tables["paths"], wanted, strict=True):
        parts = row["path"].split(" <- ")
        assert parts[0].startswith(f"feature {node.layer}.{node.index} @{node.position}")
        assert len(parts) == len(path.steps)
        assert row["share"] == pytest.approx(path.value / node.pre_activation)
    with pytest.raises(ConfigError, match="no feature 'feature:9:9:9'"):
        find_paths(model, dictionaries, graph, "feature:9:9:9")
