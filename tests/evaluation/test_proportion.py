import pytest
from scipy import stats

from workbench.evaluation import proportion


@pytest.mark.parametrize(("hits", "trials"), [(0, 40), (1, 40), (20, 40), (40, 40), (3, 7)])
def test_is_wilsons_interval(hits, trials):
    found = proportion(hits, trials, 0.9)
    wanted = stats.binomtest(hits, trials).proportion_ci(0.9, method="wilson")
    assert found == pytest.approx((hits / trials, wanted.low, wanted.high), abs=1e-12)


def test_nothing_tried_is_no_number():
    assert all(value != value for value in proportion(0, 0))


@pytest.mark.parametrize(("hits", "trials"), [(0, 40), (3, 7), (20, 40)])
def test_each_bound_is_a_share_that_the_score_test_just_rejects(hits, trials):
    found, z = proportion(hits, trials, 0.9), stats.norm.ppf(0.95)
    for bound in (found.low, found.high):
        assert (hits / trials - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / trials, abs=1e-12)
