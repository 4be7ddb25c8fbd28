"""Probes against planted truth: known R^2, known selectivity, chance where there is nothing to know."""

import numpy as np
import pytest

from workbench.core import ConfigError, ShapeError, Site
from workbench_probes import Examples, ProbeConfig, probe_sites

SITE, OTHER = Site("resid_post", 0), Site("resid_post", 1)
QUICK = ProbeConfig(folds=3, inner_folds=2, shuffles=8, bootstrap=400, strengths=(0.01, 0.1))


def planted(n=400, d=12, groups=40, noise=1.0, seed=0, classes=2):
    """Rows, a target that one direction tells (with noise), and groups that say nothing."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, d))
    direction = draw.normal(size=(d, classes))
    score = x @ direction / np.sqrt(d) + noise * draw.normal(size=(n, classes))
    return x, score, draw.integers(groups, size=n), direction[:, 0]


def test_r2_is_the_share_of_variance_that_the_rows_hold():
    x, score, group, direction = planted(n=1500, groups=150, classes=1)
    config = QUICK.model_copy(update={"method": "ridge"})
    row = probe_sites({SITE: x}, Examples(score[:, 0], group), config).tables["probes"][0]
    signal = float(np.square(direction).sum()) / len(direction)
    assert row["score_low"] < signal / (signal + 1) < row["score_high"]
    assert row["score"] == pytest.approx(signal / (signal + 1), abs=0.05)
    assert row["shuffled_low"] < 0 < row["shuffled_high"] + 0.05


@pytest.mark.parametrize("method", ["logistic", "ridge", "mean-difference", "sparse"])
@pytest.mark.parametrize("classes", [2, 4])
def test_every_method_reads_what_is_there_and_shuffled_labels_are_at_chance(method, classes):
    x, score, group, _ = planted(noise=0.1, classes=classes)
    noise = np.random.default_rng(5).normal(size=x.shape)
    examples = Examples(score.argmax(1), group, tuple("abcd"[:classes]))
    config = QUICK.model_copy(update={"method": method, "units": 8})
    result = probe_sites({SITE: x, OTHER: noise}, examples, config)
    told, untold = result.tables["probes"]
    assert told["score_low"] > 1 / classes + 0.15
    assert untold["score_low"] < 1 / classes < untold["score_high"]
    for row in (told, untold):
        assert row["shuffled_low"] < 1 / classes < row["shuffled_high"]
    assert result.params["best"] == str(SITE)
    assert result.scalars["lead_over_best_baseline_low"] > 0
    assert len(result.tables["predictions"]) == len(x)
    assert result.fig().data
    assert "<script" not in result._repr_html_()


def test_a_group_that_is_the_label_is_not_learnt():
    """Every group has its own direction and one label: random splits would tell it, grouped ones cannot."""
    draw = np.random.default_rng(0)
    group = np.repeat(np.arange(40), 10)
    x = draw.normal(size=(40, 30))[group] + 0.1 * draw.normal(size=(400, 30))
    examples = Examples(draw.permutation(np.arange(40) % 2)[group], group, ("a", "b"))
    row = probe_sites({SITE: x}, examples, QUICK).tables["probes"][0]
    assert row["score_low"] < 0.5 < row["score_high"]
    loose = Examples(examples.targets, np.arange(400), ("a", "b"))
    assert probe_sites({SITE: x}, loose, QUICK).tables["probes"][0]["score"] > 0.9


def test_selectivity_is_high_for_a_direction_and_none_for_a_memory_of_types():
    """One-hot types memorise any labelling; a single direction tells only its own."""
    draw = np.random.default_rng(1)
    types = draw.integers(16, size=480)
    sign = draw.permutation(np.arange(16) % 2)[types]
    examples = Examples(sign, np.arange(480), ("a", "b"))
    memory = np.eye(16)[types]
    direction = (2.0 * sign - 1)[:, None] + 0.05 * draw.normal(size=(480, 2))
    result = probe_sites({SITE: memory, OTHER: direction}, examples, QUICK, types=types)
    remembers, knows = result.tables["probes"]
    assert remembers["control"] > 0.95
    assert abs(remembers["selectivity"]) < 0.05
    assert knows["selectivity_low"] > 0.2


def test_confidence_is_calibrated_where_the_model_is_right():
    draw = np.random.default_rng(2)
    x = draw.normal(size=(1500, 3))
    truth = draw.random(1500) < 1 / (1 + np.exp(-2 * x[:, 0]))
    result = probe_sites({SITE: x}, Examples(truth.astype(int), np.arange(1500), ("no", "yes")), QUICK)
    assert result.tables["probes"][0]["ece"] < 0.06
    assert sum(row["n"] for row in result.tables["calibration"]) == 1500


def test_unequal_classes_do_not_lift_the_majority():
    draw = np.random.default_rng(3)
    targets = (draw.random(500) < 0.1).astype(int)
    columns = {"length": draw.normal(size=(500, 2))}
    result = probe_sites({SITE: draw.normal(size=(500, 4))}, Examples(targets, np.arange(500), ("no", "yes")), QUICK,
                         baselines=columns)  # fmt: skip
    majority, length = result.tables["baselines"]
    assert majority["score"] == pytest.approx(0.5)
    assert majority["accuracy"] > 0.85
    assert length["score_low"] < 0.5 < length["score_high"]


def test_the_stored_probe_is_the_one_that_scored():
    x, score, group, direction = planted(noise=0.0, classes=1)
    result = probe_sites({SITE: x}, Examples((score[:, 0] > 0).astype(int), group, ("a", "b")), QUICK)
    weight = result.arrays[f"weight.{SITE}"][0]
    cosine = weight @ direction / np.linalg.norm(weight) / np.linalg.norm(direction)
    assert cosine > 0.95


def test_what_cannot_be_probed_is_refused():
    x, score, group, _ = planted()
    with pytest.raises(ShapeError, match="400 examples want as many rows"):
        probe_sites({SITE: x[:10]}, Examples(score.argmax(1), group, ("a", "b")), QUICK)
    with pytest.raises(ConfigError, match="3 folds want at least 3 groups"):
        probe_sites({SITE: x}, Examples(score.argmax(1), group % 2, ("a", "b")), QUICK)
    lone = np.where(score.argmax(1) == 1, 0, group + 1)
    with pytest.raises(ConfigError, match="wants two groups"):
        probe_sites({SITE: x}, Examples(score.argmax(1), lone, ("a", "b")), QUICK)
    with pytest.raises(ConfigError, match="take ridge"):
        probe_sites({SITE: x}, Examples(score[:, 0], group), QUICK)
