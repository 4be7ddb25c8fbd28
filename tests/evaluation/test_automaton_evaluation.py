"""Measurements on the automaton against answers known beforehand."""

import math

import numpy as np
import pytest
import torch

from workbench.core import Site
from workbench.evaluation import (
    AutomatonEvalConfig,
    automaton_quality,
    best_codes,
    code_sample,
    count_codes,
    divergence,
    mean_precision,
    patch_states,
    purity,
    with_neurons,
)
from workbench.evaluation.automaton_codes import _at_recall

from .planted_automaton import AUTOMATON, IDLE, USED, LabelCodes, subject

CONFIG = AutomatonEvalConfig(loss_sequences=40, free_samples=20, code_sequences=60, pairs=60, bootstrap=200)


def test_a_model_that_knows_the_automaton_stands_at_the_floor():
    found = automaton_quality(subject(), CONFIG)
    assert found.excess.value == pytest.approx(0, abs=1e-9)
    assert found.loss == pytest.approx(AUTOMATON.floor.loss)
    assert found.sampled_loss == pytest.approx(AUTOMATON.floor.loss, abs=0.1)
    assert found.accuracy.value == pytest.approx(AUTOMATON.floor.accuracy, abs=0.03)
    assert (found.sampled.value, found.first, found.top.value) == (1.0, 1.0, 1.0)


def test_a_model_that_knows_nothing_is_as_far_away_as_chance():
    found = automaton_quality(subject(mix=1.0), CONFIG)
    assert found.loss == pytest.approx(math.log(11), abs=0.02)
    assert found.excess.low <= math.log(11) - AUTOMATON.floor.loss <= found.excess.high
    edges = AUTOMATON.transitions.count_nonzero()
    assert found.sampled.value == pytest.approx(float(edges) / 100 / 100, abs=0.03)


def test_codes_that_name_states_are_precise_and_pure():
    own = subject(codecs=[LabelCodes(USED)])
    ids = code_sample(own, CONFIG)
    counts = count_codes(own, ids)
    best = best_codes(counts, 12, 0.01)
    assert [(code.state, code.code) for code in best] == [(s, s) for s in range(12)]
    assert all(code.precision == 1.0 and code.recall == 1.0 for code in best)
    found = purity(counts[0], 12, 1)
    assert found.states + found.pairs == pytest.approx(1 - 1 / found.used)
    assert int(counts[0].targets.sum()) == ids.numel() == int(counts[0].uses.sum())


def test_codes_that_merge_two_states_are_half_as_precise_and_impure():
    own = subject(codecs=[LabelCodes(USED, merged=True)])
    counts = count_codes(own, code_sample(own, CONFIG))
    best = best_codes(counts, 12, 0.01)
    assert all(code.code == code.state // 2 * 2 for code in best)
    uses, targets = counts[0].uses, counts[0].targets
    for code in best:
        assert code.precision == pytest.approx(int(targets[code.state]) / int(uses[code.code]))
    assert purity(counts[0], 12, 1).states == 0
    assert not best_codes(counts, 12, least_recall=1.0)


def test_the_neuron_beside_a_code_is_the_best_at_its_recall():
    own = subject(codecs=[LabelCodes(USED, merged=True)])
    ids = code_sample(own, CONFIG)
    best = with_neurons(best_codes(count_codes(own, ids), 12, 0.01), subject(), ids)
    # The plain model's coordinates are the labels themselves: there is a perfect neuron for each state.
    assert all(code.neuron.endswith(f".n{code.state}") and code.neuron_precision == 1.0 for code in best)
    codes, neurons = mean_precision(best, CONFIG)
    assert neurons.value == 1.0
    assert 0.3 < codes.value < 0.7


def test_precision_at_a_recall_is_that_of_counting():
    draw = torch.Generator().manual_seed(0)
    values, is_target = torch.randn(200, 5, generator=draw), torch.rand(200, generator=draw) < 0.2
    found = _at_recall(values[is_target], values.T.contiguous().sort(1).values, recall=0.4)
    hits = round(0.4 * int(is_target.sum()))
    for neuron in range(5):
        threshold = sorted(values[is_target, neuron].tolist(), reverse=True)[hits - 1]
        assert float(found[neuron]) == pytest.approx(hits / int((values[:, neuron] >= threshold).sum()))


def test_patching_the_site_that_decides_shifts_everything_and_others_nothing():
    own = subject(codecs=[LabelCodes(IDLE), LabelCodes(USED)])
    found = {(p.target, p.patch): p.divergence for p in patch_states(own, CONFIG)}
    for target in ("state", "state and digit"):
        assert found[target, "none"].value == 1.0
        assert found[target, str(IDLE)].value == pytest.approx(1.0)
        assert found[target, "all attention"].value == pytest.approx(1.0)
        assert found[target, str(USED)].value == pytest.approx(0.0, abs=1e-9)
        assert found[target, "all"].value == pytest.approx(0.0, abs=1e-9)
        assert found[target, "random codes: all MLP"].value > 0.5
        assert found[target, "random codes: all attention"].value == pytest.approx(1.0)


def test_divergence_is_that_of_the_definition():
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    m = (p + q) / 2
    expected = 0.5 * sum(x * math.log(x / y) for x, y in zip(p, m, strict=True) if x) + 0.5 * sum(
        x * math.log(x / y) for x, y in zip(q, m, strict=True) if x
    )
    assert float(divergence(torch.tensor(p)[None], torch.tensor(q)[None])) == pytest.approx(expected)
    assert float(divergence(torch.eye(2)[:1].double(), torch.eye(2)[1:].double())) == pytest.approx(math.log(2))


def test_both_signs_can_only_help():
    own = subject(codecs=[LabelCodes(USED)])
    ids = code_sample(own, CONFIG)
    best = best_codes(count_codes(own, ids), 12, 0.01)
    one = with_neurons(best, subject(), ids, kinds=("attn_z",))
    two = with_neurons(best, subject(), ids, kinds=("attn_z",), both_signs=True)
    assert all(b.neuron_precision >= a.neuron_precision for a, b in zip(one, two, strict=True))
    assert all(code.neuron.startswith(str(Site("attn_z", 0))) for code in one)
