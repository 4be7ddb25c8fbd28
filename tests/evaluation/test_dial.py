"""The dial: exact where nothing is silenced, operating points by hand, budgets met."""

import numpy as np
import pytest
import torch

from workbench.core import ConfigError, Site
from workbench.evaluation import DialConfig, dial, mlp_arithmetic
from workbench.evaluation.dial import crossing
from workbench.sparsity import ALLOCATIONS, RULES, Calibration, sample_neurons

CONFIG = DialConfig(shares="0,0.4,0.9", layer_shares="0.9", calibration_rows=24, bootstrap=50, batch_sequences=3)


@pytest.fixture(scope="module")
def whole(text):
    """The same documents on both sides: only arithmetic is tested here."""
    from dataclasses import replace

    class Both:
        def split(self, part):
            return replace(text, ref=text.ref.model_copy(update={"split": part}))

    return Both()


@pytest.fixture(scope="module")
def result(model, whole):
    return dial(model, whole, CONFIG)


def test_nothing_silenced_is_the_model(result):
    rows = [row for row in result.tables["dial"] if row["share"] == 0]
    assert {row["rule"] for row in rows} == set(RULES)
    for row in rows:
        assert row["ce"] == pytest.approx(result.scalars["ce_model"], abs=1e-9)
        assert (row["silent"], row["perplexity_rise"], row["agreement"]) == (0, 0, 1)
        assert row["mlp_flops_kept"] == 1


def test_shares_come_out_as_asked(result):
    for row in result.tables["dial"]:
        # Thresholds come from a sample of tokens, the others are exact or drawn.
        assert row["silent"] == pytest.approx(row["share"], abs=0.12 if row["rule"] != "top-k" else 0.02)
        assert row["n"] == result.scalars["n"]


def test_one_layer_alone_matches_a_run_by_hand(model, text, result):
    (row,) = [r for r in result.tables["dial"] if r["rule"] == "top-k" and r["layer"] == 1]
    keep = round(0.1 * model.shape.d_mlp)
    losses = []
    for ids, length in zip(text.ids.long(), text.lengths.tolist(), strict=True):
        ids = ids[:length][None]
        post = model.capture(ids, ["mlp_post.1"])[Site("mlp_post", 1)]
        least = post.abs().topk(keep).values[..., -1:]
        value = torch.where(post.abs() >= least, post, 0.0)
        value[:, 0] = post[:, 0]
        run = model.intervene(ids, [("mlp_post.1", lambda x, value=value: value)])
        loss = torch.nn.functional.cross_entropy(run.logits[0, 1:-1], ids[0, 2:], reduction="none")
        losses += loss.tolist()
    assert row["ce"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_crossings_by_hand():
    shares, rises = np.array([0, 0.2, 0.4, 0.6]), np.array([0, 0.0, 0.02, 0.1])
    assert crossing(shares, rises, 0.01) == pytest.approx(0.3)
    assert crossing(shares, rises, 0.06) == pytest.approx(0.5)
    assert np.isnan(crossing(shares, rises, 0.2))


def test_arithmetic_kept():
    assert mlp_arithmetic("teal", 0.25, gated=True) == pytest.approx((2 + 0.25) / 3)
    assert mlp_arithmetic("cats", 0.25, gated=True) == pytest.approx((1 + 0.5) / 3)
    assert mlp_arithmetic("top-k", 0.25, gated=False) == pytest.approx((1 + 0.25) / 2)


@pytest.mark.parametrize("allocation", ALLOCATIONS)
@pytest.mark.parametrize("share", [0.0, 0.33, 0.8])
def test_every_allocation_meets_the_budget(model, text, allocation, share):
    calibration = Calibration(model, sample_neurons(model, text, 24), "teal")
    shares = calibration.shares(share, allocation)
    assert np.mean(shares) == pytest.approx(share, abs=1e-6)
    silent = [
        1 - calibration.gate(number, own).keep(sample.inputs).float().mean().item()
        for number, (own, sample) in enumerate(zip(shares, calibration.samples, strict=True))
    ]
    assert np.mean(silent) == pytest.approx(share, abs=0.01)


def test_errors_are_those_of_the_definition_and_grow(model, text):
    (_, sample) = sample_neurons(model, text, 24)
    calibration = Calibration(model, [sample], "cett")
    gate = calibration.gate(0, 0.5)
    rows, norms = sample.inputs[gate.site], sample.writes.norm(dim=1)
    written = rows[:, :, None] * sample.writes
    lost = torch.where((rows.abs() * norms < gate.amount)[..., None], written, 0.0).sum(1)
    assert calibration.errors()[0, 10] == pytest.approx((lost.norm(dim=1) / written.sum(1).norm(dim=1)).mean().item())
    assert (np.diff(calibration.errors()[0]) >= 0).all()
    assert calibration.errors()[0, 0] == 0


def test_greedy_spends_where_it_costs_least(model, text):
    calibration = Calibration(model, sample_neurons(model, text, 24), "teal")
    calibration.damages()[0] *= 100
    first, second = calibration.shares(0.3, "greedy")
    assert first == 0
    assert second == pytest.approx(0.6)


def test_unknown_rules_are_refused(model, whole):
    with pytest.raises(ConfigError, match="unknown rule 'tael'"):
        dial(model, whole, CONFIG.model_copy(update={"rules": "tael"}))
