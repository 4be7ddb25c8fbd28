"""The graph: nodes, influence and effects against dense references, sums, what is refused."""

import pytest
import torch
from circuits.small_circuits import DIFFERENCE, FAMILIES, IDS, build_hooked, random_analysis, random_dictionaries
from circuits.test_edges import explicit_rows

from workbench.circuits import SumConfig, Target, TraceConfig, analyse, check_sums, trace
from workbench.core import CircuitGraph, ConfigError, Interrupted, MaskPolicy, Silent, TextError
from workbench.dictionaries import CoderConfig, DictionarySet, new_set


@pytest.fixture(scope="module")
def traced():
    model, dictionaries, analysis = random_analysis("llama")
    return model, dictionaries, analysis, trace(model, dictionaries, IDS, DIFFERENCE)


def dense(analysis) -> torch.Tensor:
    """The whole adjacency [n, n], target by source."""
    n = analysis.numbering.n_nodes
    full = torch.zeros(n, n, dtype=torch.float64)
    rows = torch.cat([analysis.unit_nodes, torch.arange(analysis.numbering.n_sources, n)])
    full[rows, : analysis.numbering.n_sources] = explicit_rows(analysis)
    return full


def by_power_series(matrix: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """start . (1 + A + A^2 + ...)."""
    total, term = start.clone(), start
    while term.abs().max() > 0:
        term = term @ matrix
        total = total + term
    return total


def test_influence_and_scores_equal_the_power_series(traced):
    _, _, analysis, graph = traced
    matrix = dense(analysis).abs()
    matrix = matrix / matrix.sum(1, keepdim=True).clamp(min=1e-300)
    start = torch.zeros(len(matrix), dtype=torch.float64)
    start[-1] = 1.0
    wanted = by_power_series(matrix, start)
    assert torch.allclose(torch.tensor([n.influence for n in graph.nodes]).double(), wanted, atol=1e-7)

    kinds = [node.kind for node in graph.nodes]
    errors = torch.tensor([kind == "error" for kind in kinds])
    tokens = torch.tensor([kind == "embed" for kind in kinds])
    clean = 1 - matrix[:, errors].sum(1)
    token, error = wanted[tokens].sum(), wanted[errors].sum()
    assert graph.scores["replacement"] == pytest.approx(float(token / (token + error)))
    assert graph.scores["completeness"] == pytest.approx(float((wanted * clean).sum() / wanted.sum()))
    inner = ~(errors | tokens)
    assert graph.scores["completeness_features"] == pytest.approx(
        float((wanted * clean)[inner].sum() / wanted[inner].sum())
    )


def test_scores_without_the_masked_start(traced):
    _, _, analysis, graph = traced
    matrix = dense(analysis).abs()
    start_errors = [i for i, node in enumerate(graph.nodes) if node.kind == "error" and node.position == 0]
    matrix[:, start_errors] = 0
    matrix = matrix / matrix.sum(1, keepdim=True).clamp(min=1e-300)
    start = torch.zeros(len(matrix), dtype=torch.float64)
    start[-1] = 1.0
    wanted = by_power_series(matrix, start)
    errors = torch.tensor([node.kind == "error" for node in graph.nodes])
    tokens = torch.tensor([node.kind == "embed" for node in graph.nodes])
    token, error = wanted[tokens].sum(), wanted[errors].sum()
    assert graph.scores["replacement_start_dropped"] == pytest.approx(float(token / (token + error)))


def test_total_effects_are_all_signed_paths(traced):
    _, _, analysis, graph = traced
    matrix = dense(analysis)
    activation = torch.tensor([n.activation if n.kind == "feature" else 1.0 for n in graph.nodes]).double()
    start = torch.zeros(len(matrix), dtype=torch.float64)
    start[-1] = 1.0
    # A change of a unit's pre-activation moves its write by change / activation.
    wanted = by_power_series(matrix / activation[:, None], start)
    found = torch.tensor([node.effect for node in graph.nodes]).double()
    assert torch.allclose(found[:-1], wanted[:-1], atol=1e-6)


@pytest.mark.parametrize("dictionary", ["topk-skip-transcoder", "cross-layer-transcoder"])
@pytest.mark.parametrize("family", FAMILIES)
def test_sums_hold_in_float64(family, dictionary):
    model, dictionaries, analysis = random_analysis(family, dictionary=dictionary)
    result = check_sums(model, dictionaries, trace(model, dictionaries, IDS, DIFFERENCE))
    assert result.kind == "sum_check"
    assert result.scalars["n"] == min(100, analysis.replacement.n_units)
    assert result.scalars["worst_ratio"] < 1e-8
    assert result.scalars["source_effects_gap"] < 1e-12
    assert result.scalars["kept_edges_gap"] < 1e-6


def test_sums_hold_in_float32_and_notice_a_wrong_bias(monkeypatch):
    model, dictionaries, _ = random_analysis("gemma3", torch.float32)
    graph = trace(model, dictionaries, IDS, DIFFERENCE)
    assert check_sums(model, dictionaries, graph, SumConfig(largest=5, drawn=5)).scalars["worst_ratio"] < 1e-3
    from workbench.circuits import Analysis

    right = Analysis.biases
    monkeypatch.setattr(Analysis, "biases", lambda self: right(self) + 0.1)
    assert check_sums(model, dictionaries, graph).scalars["worst_ratio"] > 1e-3


def test_nodes_say_what_they_are(traced):
    model, dictionaries, analysis, graph = traced
    assert [node.layer for node in graph.nodes] == sorted(node.layer for node in graph.nodes)
    assert len({node.id for node in graph.nodes}) == len(graph.nodes)
    assert [node.id for node in graph.nodes] == analysis.ids()
    features = [graph.nodes[i] for i in graph.find("feature")]
    assert all(node.position >= 1 and node.activation > 0 for node in features)
    assert all(node.activation == pytest.approx(node.pre_activation) for node in features)
    node = features[7]
    x = model.capture(IDS, [f"mlp_in.{node.layer}"]).popitem()[1][0, node.position]
    with torch.no_grad():
        pre = dictionaries.by_layer(node.layer).pre_activations({node.unit.site: x[None]})[0, node.index]
    assert node.pre_activation == pytest.approx(float(pre))
    logits = model.run(IDS).logits[0, -1]
    assert graph.metric_value == pytest.approx(float(logits[3] - logits[4]))
    assert graph.metric == "logit difference b - c"
    assert graph.manifest.mask == model.policy
    assert graph.manifest.model == model.ref


def test_every_position_gets_features_when_the_policy_says_so():
    model, _ = build_hooked("llama", torch.float64, policy=MaskPolicy(skip_first=0))
    graph = trace(model, random_dictionaries(model), IDS, DIFFERENCE)
    assert any(node.kind == "feature" and node.position == 0 for node in graph.nodes)


def test_top_targets_are_weighted_by_probability():
    model, dictionaries, _ = random_analysis("llama")
    graph = trace(model, dictionaries, IDS, Target(at_most=4, coverage=0.9))
    logits = model.run(IDS).logits[0, -1]
    best = logits.softmax(-1).topk(4)
    rows = [graph.nodes[i] for i in graph.find("logit")]
    wanted = [float(logits[i] - logits.mean()) for i in best.indices[: len(rows)]]
    assert [node.activation for node in rows] == pytest.approx(wanted)
    value = sum(float(p) * w for p, w in zip(best.values, wanted, strict=False))
    assert graph.metric_value == pytest.approx(value)


def test_without_influence_there_are_effects_and_no_edges(traced):
    model, dictionaries, _, graph = traced
    quick = trace(model, dictionaries, IDS, DIFFERENCE, TraceConfig(influence=False))
    assert not len(quick.weight)
    assert [node.effect for node in quick.nodes] == [node.effect for node in graph.nodes]
    assert "replacement" not in quick.scores


def test_a_graph_survives_its_folder(traced, tmp_path):
    graph = traced[3].save(tmp_path / "graph")
    again = CircuitGraph.load(tmp_path / "graph")
    assert again.manifest.content_hash == graph.manifest.content_hash
    assert torch.equal(again.weight, graph.weight)
    assert check_sums(traced[0], traced[1], again).scalars["worst_ratio"] < 1e-8


def test_affine_only_has_no_features_and_keeps_the_metric(traced):
    model, dictionaries, _, graph = traced
    control = trace(model, dictionaries.affine_only(), IDS, DIFFERENCE)
    assert not control.find("feature")
    assert control.metric_value == pytest.approx(graph.metric_value)
    assert 0 < control.scores["replacement"] < 1


def test_what_cannot_be_a_node_is_refused(traced, monkeypatch):
    model, dictionaries, _, _ = traced
    with pytest.raises(ConfigError, match=r"reads \['resid_post.0'\]"):
        analyse(model, random_dictionaries(model, "topk-sae"), IDS, DIFFERENCE)
    monkeypatch.setattr(type(dictionaries.by_layer(0)), "readers", lambda self, codes, inputs: None)
    with pytest.raises(ConfigError, match="not read linearly"):
        trace(model, dictionaries, IDS, DIFFERENCE)


def test_a_dictionary_of_a_layer_that_is_not_there(traced):
    model = traced[0]
    small, _ = build_hooked("gemma2", torch.float64)
    with pytest.raises(ConfigError, match="the model has 2 layers"):
        analyse(model, random_dictionaries(small), IDS, DIFFERENCE)


@pytest.mark.parametrize("target", [Target.of(5, position=40), Target.difference(3, 5000)])
def test_targets_that_do_not_exist(traced, target):
    with pytest.raises(TextError):
        analyse(traced[0], traced[1], IDS, target)


def test_targets_that_contradict_themselves():
    with pytest.raises(ConfigError, match="does not take 1 tokens"):
        Target.parse({"kind": "difference", "tokens": [1]})


def test_cancelling_is_announced(traced):
    class Impatient(Silent):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Interrupted):
        trace(traced[0], traced[1], IDS, DIFFERENCE, progress=Impatient())


def test_a_bypass_that_is_not_affine_is_refused(traced):
    model, _, _, _ = traced
    bent = random_dictionaries(model)
    member = bent.by_layer(0)
    straight = member.bypass
    member.bypass = lambda inputs: {site: value.square() for site, value in straight(inputs).items()}
    with pytest.raises(ConfigError, match="affine path"):
        analyse(model, DictionarySet(bent.values()), IDS, DIFFERENCE)


def test_two_dictionaries_of_one_layer_are_refused(traced):
    model, d = traced[0], traced[0].shape.d_model
    wanted = [("topk-transcoder", CoderConfig(d_sae=8, k=k)) for k in (1, 2)]
    with pytest.raises(ConfigError, match="several at layer 0"):
        analyse(model, new_set(wanted, lambda site: d, layers=[0]), IDS, DIFFERENCE)
