"""The operations of a training step against their references: error, counters, kept entries, sparse gradients."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from sparse_kernels import (
    KernelError,
    decode,
    encode_batch_topk,
    encode_topk,
    gradient_rows,
    keep_topk_,
    note_firing_,
    reconstruction_error,
    sparse_gradients,
    squared_deviation,
    take_rows,
)

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 11), st.integers(1, 50), st.integers(1, 40), st.integers(0, 999))
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}


def near(found: Tensor, wanted: Tensor, atol: float = 2e-5) -> None:
    scale = max(1.0, float(wanted.float().abs().max())) if wanted.numel() else 1.0
    torch.testing.assert_close(found.float() / scale, wanted.float() / scale, rtol=0, atol=atol)


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, dtype=st.sampled_from(list(TOLERANCE)), shared=st.booleans(), ragged=st.booleans())
def test_error_and_its_gradients_are_those_of_the_reference(
    sizes: tuple[int, ...], dtype: torch.dtype, shared: bool, ragged: bool
):
    n, k, f, d, seed = sizes

    def run(backend: str) -> list[Tensor]:
        draw = torch.Generator().manual_seed(seed)
        counts = torch.randint(0, k + 1, (n,), generator=draw)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)]) if ragged else None
        codes = (int(counts.sum()),) if ragged else (n, k)
        index = torch.randint(0, f, codes, generator=draw)
        shapes = (codes, (f, d), (d,) if shared else (n, d), (n, d))
        leaves = [torch.randn(*shape, generator=draw).to(dtype).requires_grad_() for shape in shapes]
        error, residual = reconstruction_error(index, *leaves, offsets, backend=backend)
        assert not residual.requires_grad
        (error * torch.randn(n, generator=draw)).sum().backward()
        return [error.detach(), residual, *(leaf.grad for leaf in leaves)]

    for found, wanted in zip(run("cpu"), run("reference"), strict=True):
        assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
        near(found, wanted, TOLERANCE[dtype])


def test_gradcheck_in_float64():
    draw = torch.Generator().manual_seed(0)
    index = torch.tensor([[0, 2], [2, 2], [1, 0]])
    shapes = ((3, 2), (4, 5), (5,), (3, 5))
    leaves = [torch.randn(*shape, generator=draw, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda *each: reconstruction_error(index, *each)[0], leaves)


def test_an_error_equals_decode_and_compare_at_a_size_with_many_threads():
    draw = torch.Generator().manual_seed(0)
    index, value = torch.randint(0, 700, (300, 8), generator=draw), torch.randn(300, 8, generator=draw)
    weight, target = torch.randn(700, 65, generator=draw), torch.randn(300, 65, generator=draw)
    error, residual = reconstruction_error(index, value, weight, torch.zeros(65), target, backend="cpu")
    near(residual, decode(index, value, weight, backend="reference") - target)
    near(error, residual.square().sum(1))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 40), d=st.integers(1, 40), mean=st.sampled_from([0.0, 3.0, 300.0]), seed=st.integers(0, 99))
def test_squared_deviation(n: int, d: int, mean: float, seed: int):
    rows = torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + mean
    exact = (rows.double() - rows.double().mean(0)).square().sum() if n else torch.tensor(0.0)
    torch.testing.assert_close(squared_deviation(rows, backend="cpu"), exact.float(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(squared_deviation(rows, backend="reference"), exact.float(), rtol=1e-3, atol=1e-6)


def test_what_is_not_a_number_breaks_the_loss():
    rows = torch.zeros(3, 2)
    rows[1, 1] = float("nan")
    assert squared_deviation(rows, backend="cpu").isnan()
    error, _ = reconstruction_error(
        torch.zeros(3, 1, dtype=torch.int64), torch.ones(3, 1), torch.ones(400, 2), torch.zeros(2), rows, backend="cpu"
    )
    assert error.isnan().tolist() == [False, True, False]


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, ragged=st.booleans())
def test_counters_of_rows_since_a_feature_fired(sizes: tuple[int, ...], ragged: bool):
    n, k, f, _, seed = sizes
    draw = torch.Generator().manual_seed(seed)
    index = torch.randint(0, f, (n * k,) if ragged else (n, k), generator=draw)
    value = torch.randint(-1, 2, index.shape, generator=draw).float()
    before = torch.randint(0, 100, (f,), generator=draw)
    for backend in ("cpu", "reference"):
        counters = before.clone()
        note_firing_(counters, index, value, n, backend=backend)
        for feature in range(f):
            fired = bool((value[index == feature] != 0).any())
            assert counters[feature] == (0 if fired else before[feature] + n)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(0, 6), m=st.integers(1, 80), k=st.integers(1, 80), seed=st.integers(0, 999), bad=st.booleans())
def test_the_k_largest_of_dense_rows(n: int, m: int, k: int, seed: int, bad: bool):
    k = min(k, m)
    scores = torch.randint(-4, 5, (n, m), generator=torch.Generator().manual_seed(seed)).float()
    if bad and n:
        scores[0, m // 2] = float("nan")

    def run(backend: str) -> tuple[Tensor, Tensor]:
        leaf = scores.clone().requires_grad_()
        kept = keep_topk_(leaf * 1, k, backend=backend)
        (kept * torch.arange(1.0, m + 1)).nan_to_num().sum().backward()
        return kept.detach(), leaf.grad

    for found, wanted in zip(run("cpu"), run("reference"), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)
    if n and not bad:
        assert int((run("cpu")[0] > 0).sum(1).max()) <= k


def step(sparse: bool, encode, f: int = 900, n: int = 40, d: int = 12) -> list[Tensor]:
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(n, d, generator=draw)
    leaves = [torch.randn(*s, generator=draw).requires_grad_() for s in ((f, d), (f,), (f, d), (d,))]
    encoder, bias, decoder, base = leaves
    with sparse_gradients(sparse):
        index, value, *offsets = encode(x, encoder, bias)
        error, _ = reconstruction_error(index, value, decoder, base, x, *offsets, backend="cpu")
        extra = decode(index, value, decoder, *offsets, backend="cpu")
    (error.sum() + extra.sum()).backward()
    return [leaf.grad for leaf in leaves]


@pytest.mark.parametrize(
    "encode",
    [
        lambda x, w, b: encode_topk(x, w, b, 4, backend="cpu"),
        lambda x, w, b: encode_batch_topk(x, w, b, 4, backend="cpu"),
    ],
    ids=["topk", "batch_topk"],
)
def test_sparse_gradients_hold_the_rows_of_the_dense_ones(encode):
    dense, sparse = step(False, encode), step(True, encode)
    assert [gradient.is_sparse for gradient in sparse] == [True, True, True, False]
    for found, wanted in zip(sparse[:3], dense[:3], strict=True):
        rows, values = gradient_rows(found)
        assert (rows[1:] > rows[:-1]).all()
        assert len(rows) < len(wanted)
        near(torch.zeros_like(wanted).index_copy(0, rows, values), wanted)
        assert bool(
            (wanted.reshape(len(wanted), -1) != 0)
            .any(1)
            .equal(torch.zeros(len(wanted)).bool().index_fill(0, rows, True))
        )


def test_a_feature_that_only_pads_is_not_touched():
    x, weight = torch.tensor([[1.0, 0.0]]), -torch.ones(600, 2)
    weight[400] = 1
    weight.requires_grad_()
    with sparse_gradients():
        index, value = encode_topk(x, weight, None, 3, backend="cpu")
    value.sum().backward()
    assert index.tolist() == [[400, 0, 1]]
    assert gradient_rows(weight.grad)[0].tolist() == [400]


def test_only_leaves_get_sparse_gradients_and_only_where_asked():
    weight = torch.randn(600, 3, requires_grad=True)
    index, value = torch.zeros(2, 2, dtype=torch.int64), torch.ones(2, 2)
    with sparse_gradients():
        scaled = decode(index, value, 2 * weight, backend="cpu")
        with sparse_gradients(False):
            plain = decode(index, value, weight, backend="cpu")
    (scaled.sum() + plain.sum()).backward()
    assert not weight.grad.is_sparse
    with pytest.raises(KernelError, match="wanted a sparse COO tensor of rows"):
        gradient_rows(weight.grad)


def test_a_batch_that_touches_nothing():
    weight = torch.ones(600, 3, requires_grad=True)
    with sparse_gradients():
        decode(torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2, 2), weight, backend="cpu").sum().backward()
    rows, values = gradient_rows(weight.grad)
    assert (len(rows), values.shape) == (0, (0, 3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": torch.zeros(2, 3)}, r"target: wanted \[1, 3\] to fit codes and weight; found \[2, 3\]"),
        ({"base": torch.zeros(4)}, r"base: wanted \[3\] or the shape of target"),
        ({"base": torch.zeros(3, dtype=torch.float64)}, r"base: wanted the dtype of weight"),
        ({"index": torch.tensor([[0, 9]])}, r"index: wanted features 0 to 3"),
    ],
)
def test_operands_that_do_not_fit_are_named(change: dict, message: str):
    given = {
        "index": torch.tensor([[0, 1]]),
        "value": torch.zeros(1, 2),
        "weight": torch.zeros(4, 3),
        "base": torch.zeros(3),
        "target": torch.zeros(1, 3),
    }
    with pytest.raises(KernelError, match=message):
        reconstruction_error(**(given | change))


def test_counters_and_scores_that_do_not_fit():
    index, value = torch.zeros(1, 2, dtype=torch.int64), torch.ones(1, 2)
    with pytest.raises(KernelError, match=r"rows_since_fired: wanted \[f\] int64"):
        note_firing_(torch.zeros(3), index, value, 1)
    with pytest.raises(KernelError, match="index: wanted integers of the shape of value"):
        note_firing_(torch.zeros(3, dtype=torch.int64), index, torch.ones(2), 1)
    with pytest.raises(KernelError, match=r"k: wanted 1 to 3 \(the columns of scores\); found 4"):
        keep_topk_(torch.zeros(1, 3), 4)


@pytest.mark.parametrize("sparse", [True, False])
def test_rows_of_a_weight_beside_the_whole(sparse: bool):
    index, value = torch.randint(0, 700, (20, 3)), torch.randn(20, 3)
    weight = torch.randn(700, 5, requires_grad=True)
    some = torch.tensor([699, 0, 30])
    wanted = weight.detach().clone().requires_grad_()
    with sparse_gradients(sparse):
        whole, rows = take_rows(weight, some)
        (decode(index, value, whole, backend="cpu").square().sum() + (rows * torch.arange(5)).sum()).backward()
    (
        decode(index, value, wanted, backend="reference").square().sum() + (wanted[some] * torch.arange(5)).sum()
    ).backward()
    assert weight.grad.is_sparse == sparse
    near(weight.grad.to_dense(), wanted.grad)


def test_rows_of_a_weight_that_nobody_else_uses():
    bias = torch.randn(6, requires_grad=True)
    _, rows = take_rows(bias, torch.tensor([4, 1]))
    (rows * torch.tensor([2.0, 3.0])).sum().backward()
    assert bias.grad.tolist() == [0, 3, 0, 0, 2, 0]
