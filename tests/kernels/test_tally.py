"""Tallies and moments against the plain definition, on both paths."""

import pytest
import torch
from hypothesis import given, strategies as st

from sparse_kernels import BINS, KernelError, Tally, bin_edges, row_moments


@given(st.integers(1, 40), st.integers(1, 70), st.integers(0, 5))
def test_both_paths_count_what_the_definition_says(n, f, seed):
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(n, f, generator=draw) * torch.rand(n, f, generator=draw).round()
    kept = torch.rand(n, generator=draw) < 0.7
    limits = torch.rand(f, generator=draw)
    hits = (rows.abs() >= limits) & kept[:, None]
    for backend in ("reference", "cpu"):
        tally = Tally(limits)
        fired, largest = tally.add(rows, kept, backend=backend)
        tally.add(rows, kept, backend=backend)
        assert torch.equal(tally.counts, 2 * hits.sum(0))
        assert torch.equal(fired, hits.sum(1))
        assert torch.equal(largest, rows.abs().amax(1) * kept)
        assert tally.rows == 2 * int(kept.sum())
        assert tally.histogram.sum() == tally.rows * f
        assert tally.histogram[0] == 2 * (rows[kept] == 0).sum()


def test_bins_hold_the_sizes_between_their_edges():
    values = torch.tensor([[0.0, -1.0, 1.0, 1.124, 1.126, 2.0, -1e-3, 5e8]])
    edges = bin_edges()
    for backend in ("reference", "cpu"):
        tally = Tally(torch.zeros(8))
        tally.add(values, torch.tensor([True]), backend=backend)
        expected = torch.searchsorted(edges[:2040], values.abs().flatten(), right=True) - 1
        assert torch.equal(tally.histogram, torch.bincount(expected, minlength=BINS))
    assert (edges[1016].item(), edges[1017].item()) == (1.0, 1.125)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_moments_of_known_rows(backend):
    rows = torch.tensor([[1.0, -1.0, 1.0, -1.0], [0.0, 0.0, 0.0, -8.0], [5.0, 5.0, 5.0, 5.0]])
    expected = [[1, 0, 1, 1], [8, -2, 12, (3 * 16 + 6**4) / 4], [5, 5, 0, 0]]
    assert row_moments(rows, backend=backend).tolist() == expected


def test_moments_with_an_outlier_of_a_thousand_sigma():
    rows = torch.randn(6, 576, generator=torch.Generator().manual_seed(0))
    rows[2, 17] = 20_000
    wide = rows.double()
    centred = wide - wide.mean(1, keepdim=True)
    expected = torch.stack([wide.abs().amax(1), wide.mean(1), centred.square().mean(1), (centred**4).mean(1)], 1)
    torch.testing.assert_close(row_moments(rows, backend="cpu").double(), expected, rtol=1e-5, atol=1e-6)


def test_other_widths_are_refused():
    with pytest.raises(KernelError, match=r"wanted \[n, 3\]"):
        Tally(torch.zeros(3)).add(torch.zeros(2, 4), torch.ones(2, dtype=torch.bool))
