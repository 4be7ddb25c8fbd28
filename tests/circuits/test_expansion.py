"""Expansion in order of influence: which units become nodes, what their edges weigh, and where influence ends."""

import pytest
import torch
from circuits.small_circuits import DIFFERENCE, IDS, random_analysis
from circuits.test_edges import explicit_rows

from workbench.circuits import PruneConfig, Target, TraceConfig, analyse, error_ledger, prune, trace
from workbench.core import CircuitGraph, ConfigError, Site
from workbench.dictionaries import Codebook, CodebookConfig, DictionarySet

KINDS = ["topk-skip-transcoder", "cross-layer-transcoder"]


@pytest.fixture(scope="module", params=KINDS)
def traced(request):
    model, dictionaries, analysis = random_analysis("gemma3", dictionary=request.param)
    return model, dictionaries, analysis, trace(model, dictionaries, IDS, DIFFERENCE)


def partial_influence(analysis, expanded: torch.Tensor) -> torch.Tensor:
    """Influence by power series over the rows of the targets and of the expanded units."""
    n, sources = analysis.numbering.n_nodes, analysis.numbering.n_sources
    matrix = torch.zeros(n, n, dtype=torch.float64)
    rows = torch.cat([analysis.unit_nodes, torch.arange(sources, n)])
    matrix[rows, :sources] = explicit_rows(analysis).abs()
    matrix = matrix / matrix.sum(1, keepdim=True).clamp(min=1e-300)
    known = torch.zeros(n, dtype=torch.bool)
    known[expanded], known[sources:] = True, True
    matrix[~known] = 0
    term = torch.zeros(n, dtype=torch.float64)
    term[sources:] = analysis.metric.weights / analysis.metric.weights.sum()
    total = term.clone()
    while term.abs().max() > 0:
        term = term @ matrix
        total += term
    return total


@pytest.mark.parametrize("step", [1, 4, 100])
def test_units_are_expanded_in_order_of_influence(traced, step):
    model, dictionaries, analysis, _ = traced
    graph = trace(model, dictionaries, IDS, DIFFERENCE, TraceConfig(max_feature_nodes=9, expand_per_step=step))
    chosen = torch.zeros(0, dtype=torch.long)
    while len(chosen) < 9:
        influence = partial_influence(analysis, chosen)[analysis.unit_nodes]
        influence[torch.isin(analysis.unit_nodes, chosen)] = -1
        best = influence.topk(min(step, 9 - len(chosen))).indices
        chosen = torch.cat([chosen, analysis.unit_nodes[best]])
    ids = analysis.ids()
    assert {graph.nodes[i].id for i in graph.find("feature")} == {ids[number] for number in chosen.tolist()}
    wanted = partial_influence(analysis, chosen)
    found = {node.id: node.influence for node in graph.nodes}
    for number, name in enumerate(ids):
        if name in found:
            assert found[name] == pytest.approx(float(wanted[number]), abs=1e-7)


def test_edges_and_effects_are_those_of_the_whole_graph(traced):
    model, dictionaries, _, whole = traced
    graph = trace(model, dictionaries, IDS, DIFFERENCE, TraceConfig(max_feature_nodes=12))
    assert len(graph.find("feature")) == 12
    assert graph.scores["n_expanded"] == 12
    weight = {tuple(edge): w for *edge, w in whole.df("edges").itertuples(index=False)}
    effect = {node.id: node.effect for node in whole.nodes}
    for source, target, found in graph.df("edges").itertuples(index=False):
        assert found == pytest.approx(weight[source, target], rel=1e-5, abs=1e-9)
    assert all(node.effect == effect[node.id] for node in graph.nodes)
    assert graph.scores["edge_influence_kept"] < 1


def test_a_bound_that_binds_nothing_changes_nothing(traced):
    model, dictionaries, analysis, whole = traced
    bounded = trace(model, dictionaries, IDS, DIFFERENCE, TraceConfig(max_feature_nodes=analysis.replacement.n_units))
    assert bounded.nodes == whole.nodes
    assert torch.equal(bounded.weight, whole.weight)
    assert bounded.scores == whole.scores
    assert whole.scores["unexpanded_influence"] == 0


@pytest.mark.parametrize("limit", [None, 5])
def test_the_ledger_accounts_for_all_influence(traced, limit, tmp_path):
    model, dictionaries, analysis, _ = traced
    graph = trace(model, dictionaries, IDS, Target(at_most=3), TraceConfig(max_feature_nodes=limit))
    found = error_ledger(graph)
    assert sum(found.scalars.values()) == pytest.approx(1)
    assert (found.scalars["unexpanded"] > 0.01) == (limit is not None)
    assert found.scalars["unexpanded"] == pytest.approx(graph.scores["unexpanded_influence"])
    rows = found.tables["layers"]
    assert [row["layer"] for row in rows] == list(range(model.shape.n_layers))
    for row in rows:
        errors = [node for node in graph.nodes if node.kind == "error" and node.layer == row["layer"]]
        assert row["errors"] == pytest.approx(sum(n.influence for n in errors if n.position > 0), abs=1e-9)
        assert row["errors_start"] == pytest.approx(sum(n.influence for n in errors if n.position == 0), abs=1e-9)
        assert row["effect"] == pytest.approx(sum(node.effect for node in errors), abs=1e-6)
    assert sum(row["expanded"] for row in rows) == (limit or analysis.replacement.n_units)
    saved = prune(graph, PruneConfig(max_errors=0)).save(tmp_path / "graph")
    assert error_ledger(CircuitGraph.load(tmp_path / "graph")).tables == found.tables
    assert saved.find("error") == []


def test_without_influence_there_is_no_ledger(traced):
    model, dictionaries, _, _ = traced
    quick = trace(model, dictionaries, IDS, DIFFERENCE, TraceConfig(influence=False))
    with pytest.raises(ConfigError, match="no error ledger"):
        error_ledger(quick)


def test_a_dictionary_that_is_not_read_linearly_is_no_node_and_the_graph_says_so(traced):
    model, dictionaries, _, whole = traced
    if len(dictionaries) == 1:
        pytest.skip("one dictionary for all layers")
    bent = dictionaries.copy()
    bent["mlp_in.1"].readers = lambda codes, inputs=None: None
    graph = trace(model, bent, IDS, DIFFERENCE)
    assert {node.layer for node in graph.nodes if node.kind == "feature"} == {0, 2}
    assert graph.manifest.details["no_nodes"] == {
        "mlp_in.1": "units of the family 'topk-skip-transcoder' are not read linearly"
    }
    assert graph.metric_value == pytest.approx(whole.metric_value)
    units = analyse(model, bent, IDS, DIFFERENCE).replacement.layers[1]
    assert not len(units)
    assert units.skip is None


def test_codes_are_no_nodes_and_the_graph_says_why(traced):
    model, dictionaries, _, whole = traced
    place = {Site("mlp_out", 1): model.shape.d_model}
    book = Codebook(CodebookConfig(codes=5, k=2), place, place, "book/mlp_out.1")
    mixed = DictionarySet([*dictionaries.values(), book], "mixed")
    graph = trace(model, mixed, IDS, DIFFERENCE)
    assert graph.manifest.details["no_nodes"] == {
        "mlp_out.1": "codes are no nodes: nearest-code assignment has no linear reader"
    }
    assert [node.id for node in graph.nodes] == [node.id for node in whole.nodes]
    with pytest.raises(ConfigError, match="nearest-code assignment has no linear reader"):
        trace(model, DictionarySet([book], "books"), IDS, DIFFERENCE)


def test_the_manifest_names_the_tokens_of_every_target():
    model, dictionaries, analysis = random_analysis("gpt2")
    assert trace(model, dictionaries, IDS, DIFFERENCE).manifest.details["target_tokens"] == [[3, 4]]
    graph = trace(model, dictionaries, IDS, Target(coverage=0.3))
    ids = graph.manifest.details["target_tokens"]
    probable = analysis.frozen.logits[-1].topk(len(ids)).indices.tolist()
    assert ids == [[token, -1] for token in probable]
    assert len(ids) == len(graph.find("logit"))
