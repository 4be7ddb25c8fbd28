"""Counts of firing against counting by hand."""

import pytest
import torch

from workbench.core import Codes
from workbench.evaluation.firing import BINS, Firing


def test_dead_dense_and_the_histogram():
    firing = Firing(4)
    dense = torch.zeros(1000, 4)
    dense[:, 0] = 1.0
    dense[:50, 1] = -2.0
    dense[7, 2] = 0.5
    index = torch.arange(4).expand(1000, 4)
    firing.add(Codes(index[:300], dense[:300], 4))
    firing.add(Codes(index[300:], dense[300:], 4))
    assert firing.density.tolist() == [1.0, 0.05, 0.001, 0.0]
    assert firing.dead_share == 0.25
    assert firing.dense_share(0.1) == 0.25
    assert firing.dense_share(0.01) == 0.5
    bins = {row["log10_low"]: row["features"] for row in firing.histogram()}
    assert bins == {None: 1, **dict.fromkeys(BINS[:-1], 0), -3.0: 1, -1.5: 1, -0.5: 1}
    assert sum(row["share"] for row in firing.histogram()) == pytest.approx(1)


def test_a_feature_twice_in_a_row_counts_once_and_ragged_rows_count():
    firing = Firing(3)
    firing.add(Codes(torch.tensor([[1, 1], [2, 0]]), torch.tensor([[1.0, 2.0], [0.0, 0.0]]), 3))
    assert firing.counts.tolist() == [0, 1, 0]
    firing.add(Codes(torch.tensor([0, 1]), torch.ones(2), 3, offsets=torch.tensor([0, 0, 2])))
    assert firing.counts.tolist() == [1, 2, 0]
    assert firing.rows == 4


def test_no_features_no_shares():
    firing = Firing(0)
    firing.add(Codes(torch.empty(5, 0, dtype=torch.long), torch.empty(5, 0), 0))
    assert firing.dead_share != firing.dead_share
    assert sum(row["features"] for row in firing.histogram()) == 0
