"""Intervals over documents."""

import numpy as np
import pytest

from workbench.evaluation import EvaluateConfig
from workbench.evaluation.bootstrap import ratio

CONFIG = EvaluateConfig(bootstrap=4000)


def test_a_constant_ratio_has_no_spread():
    weights = np.arange(1.0, 9.0)
    assert ratio(0.5 * weights, weights, CONFIG) == pytest.approx((0.5, 0.5, 0.5))


def test_a_mean_has_the_width_of_its_standard_error():
    values = np.random.default_rng(0).normal(2, 1, size=400)
    found = ratio(values, np.ones(400), CONFIG)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_reproducible_and_defined_at_the_edges():
    values, ones = np.array([1.0, 4.0, 2.0]), np.ones(3)
    assert ratio(values, ones, CONFIG) == ratio(values, ones, CONFIG)
    alone = ratio(values[:1], ones[:1], CONFIG)
    assert alone.value == 1.0
    assert np.isnan(alone.low)
    assert np.isnan(ratio(values, 0 * ones, CONFIG).value)
