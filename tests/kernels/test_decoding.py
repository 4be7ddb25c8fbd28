"""decode against the reference, which gathers and sums."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from operand_cases import TOLERANCE

from sparse_kernels import KernelError, decode


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(*(st.integers(0, 40), st.integers(0, 11), st.integers(1, 50), st.integers(1, 40))),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    index_dtype=st.sampled_from([torch.int64, torch.int32]),
    strided=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_output_and_gradients_agree_with_the_reference(
    shape: tuple[int, int, int, int], dtype: torch.dtype, index_dtype: torch.dtype, strided: bool, seed: int
):
    n, k, f, d = shape

    def run(backend: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        index = torch.randint(0, f, (k, n) if strided else (n, k), generator=generator).to(index_dtype)
        value = torch.randn((k, n) if strided else (n, k), generator=generator).to(dtype)
        index, value = (index.T, value.T) if strided else (index, value)
        weight = torch.randn(f, d, generator=generator).to(dtype)
        leaves = [value.requires_grad_(), weight.requires_grad_()]
        out = decode(index, value, weight, backend=backend)
        (out.float() * torch.randn(n, d, generator=generator)).sum().backward()
        return [out.detach(), *(leaf.grad for leaf in leaves)]

    for found, wanted in zip(run("cpu"), run("reference"), strict=True):
        assert found.dtype == dtype
        assert found.shape == wanted.shape
        scale = max(1.0, float(wanted.float().abs().max())) if wanted.numel() else 1.0
        torch.testing.assert_close(found.float() / scale, wanted.float() / scale, **TOLERANCE[dtype])


@settings(max_examples=50, deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), max_size=30),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 40)),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    index_dtype=st.sampled_from([torch.int64, torch.int32]),
    strided=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_ragged_output_and_gradients_agree_with_the_reference(
    counts: list[int],
    shape: tuple[int, int],
    dtype: torch.dtype,
    index_dtype: torch.dtype,
    strided: bool,
    seed: int,
):
    f, d = shape
    offsets = torch.tensor([0, *counts]).cumsum(0).to(index_dtype)
    m = sum(counts)

    def run(backend: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        step = 2 if strided else 1
        index = torch.randint(0, f, (step * m,), generator=generator).to(index_dtype)[::step]
        value = torch.randn(step * m, generator=generator).to(dtype)[::step].requires_grad_()
        weight = torch.randn(f, d, generator=generator).to(dtype).requires_grad_()
        out = decode(index, value, weight, offsets, backend=backend)
        (out.float() * torch.randn(len(counts), d, generator=generator)).sum().backward()
        return [out.detach(), value.grad, weight.grad]

    for found, wanted in zip(run("cpu"), run("reference"), strict=True):
        assert found.dtype == dtype
        assert found.shape == wanted.shape
        scale = max(1.0, float(wanted.float().abs().max())) if wanted.numel() else 1.0
        torch.testing.assert_close(found.float() / scale, wanted.float() / scale, **TOLERANCE[dtype])


def test_rows_of_equal_length_are_the_same_ragged_and_dense():
    generator = torch.Generator().manual_seed(0)
    index, value = torch.randint(0, 30, (20, 4), generator=generator), torch.randn(20, 4, generator=generator)
    weight = torch.randn(30, 7, generator=generator)

    def run(*codes: torch.Tensor, offsets: torch.Tensor | None = None) -> list[torch.Tensor]:
        leaves = [codes[1].clone().requires_grad_(), weight.clone().requires_grad_()]
        out = decode(codes[0], *leaves, offsets, backend="cpu")
        out.square().sum().backward()
        return [out, *(leaf.grad for leaf in leaves)]

    ragged = run(index.flatten(), value.flatten(), offsets=torch.arange(0, 81, 4))
    for found, wanted in zip(ragged, run(index, value), strict=True):
        assert torch.equal(found, wanted.reshape(found.shape))


def test_ragged_gradcheck_in_float64():
    generator = torch.Generator().manual_seed(0)
    index, offsets = torch.tensor([0, 2, 2, 2, 1]), torch.tensor([0, 3, 3, 5])
    value = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, w: decode(index, v, w, offsets), (value, weight))


def test_the_same_entries_under_other_offsets_have_other_gradients():
    index, weight = torch.zeros(60, dtype=torch.int64), torch.ones(9, 3)
    offsets = torch.tensor([0, 20, 60])
    for middle in (20, 50):
        offsets[1] = middle
        leaf = weight.clone().requires_grad_()
        out = decode(index, torch.ones(60), leaf, offsets, backend="cpu")
        (out * torch.tensor([[1.0], [100.0]])).sum().backward()
        assert leaf.grad[0].tolist() == [middle + 100.0 * (60 - middle)] * 3


def test_gradcheck_in_float64():
    generator = torch.Generator().manual_seed(0)
    index = torch.tensor([[0, 2], [2, 2], [1, 0]])
    value = torch.randn(3, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, w: decode(index, v, w), (value, weight))


def test_a_reused_index_with_new_contents_gives_new_gradients():
    index = torch.zeros(64, 4, dtype=torch.int64)
    value, weight = torch.ones(64, 4), torch.randn(9, 3)
    for feature in (0, 5):
        index.fill_(feature)
        leaf = weight.clone().requires_grad_()
        decode(index, value, leaf, backend="cpu").sum().backward()
        assert leaf.grad[feature].tolist() == [256.0] * 3
        assert leaf.grad.sum() == 256 * 3


def test_gradients_of_a_large_weight_are_taken_over_and_their_memory_used_again():
    weight = torch.randn(4096, 128, requires_grad=True)
    index = torch.arange(4096).reshape(64, 64)
    value = torch.ones(64, 64)
    kept, addresses = [], []
    for step in range(6):
        weight.grad = None
        (decode(index, value, weight, backend="cpu").sum() * (step + 1)).backward()
        assert torch.equal(weight.grad, torch.full_like(weight, step + 1.0))
        addresses.append(weight.grad.data_ptr())
        if step == 0:
            kept.append(weight.grad)
    assert torch.equal(kept[0], torch.ones_like(weight)), "a gradient that somebody holds was overwritten"
    assert len(set(addresses[1:])) < 5


def test_gradients_add_up_over_two_uses_of_a_weight():
    index, value = torch.tensor([[0, 1]]), torch.ones(1, 2)
    weight = torch.randn(3000, 100, requires_grad=True)
    (decode(index, value, weight, backend="cpu") + 2 * decode(index, value, weight, backend="cpu")).sum().backward()
    assert weight.grad[:2].unique().tolist() == [3.0]
    assert not weight.grad[2:].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": torch.tensor([[0, 4]])}, r"index: wanted features 0 to 3 .* found 0 to 4"),
        ({"index": torch.tensor([[-1, 1]])}, r"index: wanted features 0 to 3 .* found -1 to 1"),
        ({"index": torch.zeros(1, 2)}, r"index: wanted int64 or int32; found \[1, 2\] float32"),
        ({"index": torch.zeros(2, 2, dtype=torch.int64)}, r"index: wanted the shape of value"),
        ({"value": torch.zeros(2)}, r"value: wanted \[n, k\]"),
        ({"weight": torch.zeros(4)}, r"weight: wanted one row for each feature"),
        ({"weight": torch.zeros(4, 3, dtype=torch.float64)}, r"value: wanted the dtype of weight"),
    ],
)
def test_operands_that_do_not_fit_are_named(change: dict, message: str):
    given = {"index": torch.tensor([[0, 1]]), "value": torch.zeros(1, 2), "weight": torch.zeros(4, 3)} | change
    with pytest.raises(KernelError, match=message):
        decode(**given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"offsets": torch.tensor([0, 1])}, r"offsets: wanted numbers that rise from 0 to 2 .* found 0 to 1"),
        ({"offsets": torch.tensor([1, 2])}, r"offsets: wanted numbers that rise from 0 to 2 .* found 1 to 2"),
        ({"offsets": torch.tensor([0, 3, 1, 2])}, r"offsets: wanted numbers that rise from 0 to 2"),
        ({"offsets": torch.tensor([0.0, 2.0])}, r"offsets: wanted \[n \+ 1\] of int64 or int32; found \[2\] float32"),
        ({"offsets": torch.tensor([], dtype=torch.int64)}, r"offsets: wanted \[n \+ 1\]"),
        ({"offsets": torch.tensor([0, 2], device="meta")}, r"offsets: wanted the device of value"),
        ({"value": torch.zeros(1, 2)}, r"value: wanted a floating dtype and \[m\] to go with offsets"),
        ({"index": torch.tensor([0])}, r"index: wanted the shape of value"),
    ],
)
def test_ragged_operands_that_do_not_fit_are_named(change: dict, message: str):
    given = {"index": torch.tensor([0, 1]), "value": torch.zeros(2), "weight": torch.zeros(4, 3)}
    with pytest.raises(KernelError, match=message):
        decode(**{**given, "offsets": torch.tensor([0, 2]), **change})
