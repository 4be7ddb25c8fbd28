"""Neurons that features and circuits need: exact where only sums lie between, tests by hand, planted answers."""

from types import SimpleNamespace

import pytest
import torch
from circuits.small_circuits import DIFFERENCE, random_dictionaries
from features.bench import PLANTED, planted_bench
from models.families import random_ids

from workbench.circuits import trace
from workbench.core import ConfigError, Site, Unit
from workbench.dictionaries import ReLUConfig, make_dictionary
from workbench.evaluation import CircuitNeuronsConfig, FeatureNeuronsConfig, circuit_neurons, feature_neurons
from workbench.evaluation.circuit_neurons import neuron_scores
from workbench.evaluation.feature_neurons import Examples
from workbench.models import TokenBatch

OUT = Site("mlp_out", 0)


@pytest.fixture
def examples(model, text):
    """A feature that reads, along what neuron 3 writes, the output of the first MLP."""
    sae = make_dictionary("relu-sae", ReLUConfig(d_sae=4), {OUT: model.shape.d_model}, {OUT: model.shape.d_model})
    writes = model.params()["blocks.0.mlp.W_out"].detach()
    with torch.no_grad():
        sae.W_enc[1] = writes[3]
        sae.b_enc[1] = 100.0  # always active
    tokens = TokenBatch(text.ids[[0, 1, 5]].long(), text.lengths[[0, 1, 5]].long())
    return Examples(model, sae, Unit("sae", "s", OUT, 1), tokens), writes


def test_attribution_is_exact_where_only_sums_lie_between(model, examples):
    found, writes = examples
    cost = found.attribution()
    assert len(cost) == model.shape.d_mlp  # no later MLP counts
    hidden = model.capture(found.tokens, ["mlp_post.0"])[Site("mlp_post", 0)]
    last = hidden[torch.arange(3), found.tokens.lengths - 1]
    assert torch.allclose(cost, (last * (writes @ writes[3])).mean(0), atol=1e-6)
    whole = found.activation()
    for silent in (torch.tensor([3]), torch.tensor([0, 3, 5]), torch.arange(len(cost))):
        assert found.activation(silent) == pytest.approx(whole - float(cost[silent].sum()), abs=1e-4)


def test_first_tokens_and_padding_are_left_alone(model, examples):
    found, _ = examples
    sizes, rows = found.strength()
    assert len(sizes) == model.shape.d_mlp
    assert len(rows[0]) == int((found.tokens.lengths - 1).sum())


def test_the_planted_neuron_is_the_one_that_is_needed(tmp_path):
    bench, scan = planted_bench(tmp_path)
    model, post = bench.model, Site("mlp_post", 0)
    hidden = model.capture(scan.ids.long(), [post])[post]
    neuron = int(hidden[:, 1:].flatten(0, 1).mean(0).argmax())
    place = int(hidden[..., neuron].argmax())
    with torch.no_grad():
        coder = bench.member(unit := Unit("transcoder", "t", Site("mlp_in", 1), PLANTED))
        coder.W_enc[PLANTED] = 100 * model.params()["blocks.0.mlp.W_out"][neuron]
    scan = SimpleNamespace(ids=scan.ids, places=lambda *_: ([place], [1.0]), inputs=dict)
    result = feature_neurons(bench, scan, [unit], FeatureNeuronsConfig(sizes=(1, 8), top=3))
    (feature,) = result.tables["features"]
    assert feature["neurons_before"] == model.shape.d_mlp
    assert feature["halved_by_needed"] == 1
    assert result.tables["neurons"][0]["neuron"] == neuron
    assert len(result.tables["curve"]) == 7
    with pytest.raises(ConfigError, match="no neuron comes before"):
        feature_neurons(bench, scan, [Unit("transcoder", "t", Site("mlp_in", 0), PLANTED)])


@pytest.fixture
def traced(model):
    members = random_dictionaries(model, "topk-transcoder")
    return members, trace(model, members, random_ids(1), DIFFERENCE)


def test_scores_split_a_features_write_among_neurons(model, traced):
    members, graph = traced
    seen = model.capture(
        torch.tensor([graph.token_ids]), [Site(kind, n) for n in (0, 1) for kind in ("mlp_post", "mlp_out")]
    )
    hidden = [seen[Site("mlp_post", layer)][0] for layer in range(model.shape.n_layers)]
    node = next(n for n in graph.nodes if n.kind == "feature" and n.layer == 1 and n.position > 0 and n.activation)
    written = seen[Site("mlp_out", 1)][0, node.position]
    member = next(d for d in members.values() if Site("mlp_in", 1) in d.reads)
    with torch.no_grad():
        member.W_dec[node.index] = written / node.activation  # the feature writes all that its MLP writes
    alone = graph.subgraph([graph.number(node.id)])
    scores = neuron_scores(model, members, alone, hidden)
    assert float(scores[1].sum()) == pytest.approx(node.effect, rel=1e-4)
    assert not scores[0].any()


def test_all_kept_is_the_model_and_none_kept_a_run_by_hand(model, traced):
    members, graph = traced
    result = circuit_neurons(model, members, graph, CircuitNeuronsConfig(shares=(0.25, 1.0), draws=2))
    assert result.scalars["metric"] == pytest.approx(graph.metric_value, abs=1e-4)
    rows = {(row["neurons"], row["share"]): row for row in result.tables["test"]}

    def silence(x):
        return torch.cat([x[:, :1], torch.zeros_like(x[:, 1:])], 1)

    functions = [(f"mlp_post.{layer}", silence) for layer in range(model.shape.n_layers)]
    logits = model.intervene(torch.tensor([graph.token_ids]), functions).logits[0, -1]
    by_hand = float(logits[3] - logits[4])
    for name in ("the circuit's", "the prompt's core", "random"):
        assert rows[name, 1.0]["kept_alone"] == pytest.approx(graph.metric_value, abs=1e-4)
        assert rows[name, 1.0]["silenced"] == pytest.approx(by_hand, abs=1e-4)
    assert result.scalars["metric_without_mlps"] == pytest.approx(by_hand, abs=1e-4)
    assert {row["share"]: row["in_core"] for row in result.tables["overlap"]}[1.0] == 1
    assert result.scalars["neurons_for_half"] < result.scalars["neurons_for_nine_tenths"]
