"""Scratch memory: bounded whatever the number of features, used again, and never shared by mistake."""

import pytest
import torch

from sparse_kernels import encode_topk
from sparse_kernels.cpu import rough
from sparse_kernels.cpu.workspace import GradientPool, workspace


@pytest.mark.parametrize("bfloat16", [True, False])
def test_encoding_holds_little_however_many_features(bfloat16: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rough, "multiplies_bfloat16", lambda: bfloat16)
    held = []
    for features in (4096, 20000):
        workspace.clear()
        encode_topk(torch.randn(4096, 4), torch.randn(features, 4), None, 32, backend="cpu")
        held.append(workspace.size())
    assert held[1] <= 1.1 * held[0]
    assert held[1] <= 32 << 20, "dense scores would take 328 MB"


def test_a_storage_is_lent_to_one_at_a_time():
    pool = GradientPool()
    first, second = pool.take((1024, 300)), pool.take((1024, 300))
    assert first.data_ptr() != second.data_ptr()
    address = first.data_ptr()
    view = first[3:]
    del first
    assert pool.take((1024, 300)).data_ptr() != address, "a view still holds it"
    del view
    assert pool.take((1024, 300)).data_ptr() == address


def test_sizes_that_are_no_longer_asked_for_are_given_back():
    pool = GradientPool()
    for rows in range(1024, 1034):
        pool.take((rows, 300))
    assert len(pool._kept) == GradientPool.SIZES
    pool.clear()
    assert not pool._kept


def test_small_gradients_come_from_the_allocator():
    pool = GradientPool()
    assert pool.take((3, 4)).shape == (3, 4)
    assert not pool._kept
