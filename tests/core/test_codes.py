import pytest
import torch
from hypothesis import given, strategies as st

from workbench.core import Codes, ShapeError


def ragged(counts: list[int], width: int, seed: int) -> Codes:
    draw = torch.Generator().manual_seed(seed)
    total = sum(counts)
    index = torch.randint(0, width, (total,), generator=draw)
    offsets = torch.tensor([0, *counts]).cumsum(0)
    return Codes(index, torch.randn(total, generator=draw), width, offsets)


@given(st.lists(st.integers(0, 5), max_size=6), st.integers(1, 7), st.integers(0, 9))
def test_ragged_and_padded_codes_are_the_same_rows(counts, width, seed):
    codes = ragged(counts, width, seed)
    padded = codes.padded()
    assert len(padded) == len(codes) == len(counts)
    assert padded.k == codes.k == max(counts, default=0)
    torch.testing.assert_close(padded.dense(), codes.dense())
    assert padded.l0().tolist() == codes.l0().tolist() == counts


def test_dense_adds_duplicates_as_decoding_does():
    codes = Codes(torch.tensor([[1, 1, 0]]), torch.tensor([[2.0, 3.0, 0.0]]), 3)
    assert codes.dense().tolist() == [[0.0, 5.0, 0.0]]
    assert codes.l0().tolist() == [2]


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ShapeError, match=r"\(1, 2\) and \(1, 3\)"):
        Codes(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 3), 4)
