"""Measures of concentration against rows whose answer is known."""

import pytest
import torch
from hypothesis import given, strategies as st

from workbench.sparsity import coordinates_for, gini, hoyer, top_mass


def test_one_coordinate_and_all_equal():
    single, equal = torch.zeros(10), torch.full((10,), -3.0)
    single[4] = 7
    assert gini(torch.stack([equal, single])).tolist() == pytest.approx([0, 0.9])
    assert hoyer(torch.stack([equal, single])).tolist() == pytest.approx([0, 1])
    assert top_mass(torch.stack([equal, single]), 2).tolist() == pytest.approx([0.2, 1])
    assert coordinates_for(torch.stack([equal, single]), 0.5).tolist() == [5, 1]
    assert coordinates_for(torch.stack([equal, single]), 1.0).tolist() == [10, 1]


def test_a_row_by_hand():
    row = torch.tensor([4.0, 0.0, -3.0, 1.0])
    pairs = sum(abs(a - b) for a in (4, 0, 3, 1) for b in (4, 0, 3, 1))
    assert gini(row).item() == pytest.approx(pairs / (2 * 4 * 8))
    assert hoyer(row).item() == pytest.approx((2 - 8 / 26**0.5) / (2 - 1))
    assert top_mass(row, 1).item() == pytest.approx(0.5)
    assert [int(coordinates_for(row, share)) for share in (0.5, 0.51, 0.875, 0.9)] == [1, 2, 2, 3]


@given(st.lists(st.floats(0.125, 100), min_size=2, max_size=20), st.floats(0.1, 10))
def test_scale_and_order_do_not_matter(values, factor):
    row = torch.tensor(values, dtype=torch.float64)
    for measure in (gini, hoyer, lambda x: top_mass(x, 1)):
        assert measure(row * -factor).item() == pytest.approx(measure(row.flip(0)).item(), abs=1e-9)
