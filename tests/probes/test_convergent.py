"""A permuted copy is matched exactly; strangers are at the null."""

import numpy as np
import pytest

from workbench.core import ConfigError, ShapeError
from workbench_probes import ConvergentConfig, convergence

QUICK = ConvergentConfig(predicted=3, clusters=4)
GROUPS = np.repeat(np.arange(20), 30)


def rows(f, seed=0):
    return np.random.default_rng(seed).normal(size=(600, f))


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_permuted_copy_is_matched_exactly(mirrored):
    x = rows(16)
    order = np.random.default_rng(4).permutation(16)
    sign = np.where(np.arange(16) % 2, -1, 1) if mirrored else 1
    result = convergence(x, 3 * (x * sign)[:, order] + 1, GROUPS, QUICK.model_copy(update={"absolute": mirrored}))
    found = {pair["first"]: pair["second"] for pair in result.tables["pairs"]}
    assert found == {int(order[j]): j for j in range(16)}
    assert result.scalars["one_to_one"] == pytest.approx(1)
    assert result.scalars["semi"] == pytest.approx(1)
    sparse = [row for row in result.tables["prediction"] if row["penalty"] == 0.1]
    assert all(row["inputs"] == 1 and row["r2"] > 0.95 for row in sparse)
    assert result.fig().data


def test_strangers_are_at_the_null_and_a_shared_unit_has_two_partners():
    x = rows(10)
    strangers = convergence(x, rows(10, 9), GROUPS, QUICK).scalars
    assert abs(strangers["one_to_one"] - strangers["null"]) < 0.1
    doubled = np.concatenate([x[:, :3], rows(3, 5)], 1)
    twins = np.concatenate([x[:, :3], x[:, :3] + 0.3 * rows(3, 6)], 1)
    result = convergence(twins, doubled, GROUPS, QUICK).scalars
    assert result["semi"] > result["one_to_one"] + 0.2


def test_groups_of_correlated_units_are_found_across_sets():
    hidden = rows(4, 1)
    x = np.repeat(hidden, 3, axis=1) + 0.3 * rows(12, 2)
    y = np.repeat(hidden, 2, axis=1) + 0.3 * rows(8, 3)
    clusters = convergence(x, y, GROUPS, QUICK).tables["clusters"]
    assert sorted((row["first"], row["second"]) for row in clusters) == [(3, 2)] * 4
    assert {tuple(sorted({unit // 3 for unit in row["first_units"]})) for row in clusters} == {(0,), (1,), (2,), (3,)}


def test_silent_units_are_left_out_and_bad_rows_refused():
    x = rows(6)
    x[:, 2] = 0
    assert convergence(x, x, GROUPS, QUICK).scalars["units_first"] == 5
    with pytest.raises(ShapeError, match="the same rows"):
        convergence(x, x[:10], GROUPS, QUICK)
    with pytest.raises(ConfigError, match="two groups"):
        convergence(x, x, np.zeros(600, int), QUICK)
