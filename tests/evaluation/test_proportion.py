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
