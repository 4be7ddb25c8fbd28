"""nearest_code against all distances in float64, and the straight-through gradient."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from operand_cases import TOLERANCE, Encoder, encoders

from sparse_kernels import KernelError, encode_topk, nearest_code, quantise, straight_through
from sparse_kernels.cpu import encoder

METRICS = ["dot", "cosine", "euclidean"]


def _all_codes(x: torch.Tensor, codebook: torch.Tensor, metric: str) -> torch.Tensor:
    """How near every code is to every row, in float64."""
    x, codebook = x.double(), codebook.double()
    if metric == "euclidean":
        return (x[:, None] - codebook).square().sum(2).sqrt()
    product = x @ codebook.T
    if metric == "dot":
        return product
    lengths = x.norm(dim=1)[:, None] * codebook.norm(dim=1)
    return torch.where(lengths == 0, 0.0, product / lengths)


def _assert_nearest(x: torch.Tensor, codebook: torch.Tensor, k: int, metric: str, found: tuple) -> None:
    index, nearness = found
    every = _all_codes(x, codebook, metric)
    tolerance = TOLERANCE[x.dtype] if x.dtype != torch.float32 else {"rtol": 1e-4, "atol": 1e-4}
    best = every.sort(dim=1, descending=metric != "euclidean").values[:, :k]
    torch.testing.assert_close(nearness.double(), every.gather(1, index), **tolerance)
    torch.testing.assert_close(nearness.double(), best, **tolerance)
    assert all(len(set(row)) == k for row in index.tolist())


@settings(max_examples=60, deadline=None)
@given(case=encoders(), metric=st.sampled_from(METRICS), backend=st.sampled_from(["cpu", "reference"]))
def test_finds_what_all_distances_find(case: Encoder, metric: str, backend: str):
    x = case.x.nan_to_num(posinf=3, neginf=-3)
    _assert_nearest(
        x, case.weight, case.k, metric, nearest_code(x, case.weight, case.k, metric=metric, backend=backend)
    )


@settings(max_examples=40, deadline=None)
@given(case=encoders(), backend=st.sampled_from(["cpu", "reference"]))
def test_equal_products_go_to_the_lowest_code(case: Encoder, backend: str):
    """Whole numbers: the sums are exact, so that ties are ties."""
    if not case.x.isfinite().all():
        return
    products = case.x.double() @ case.weight.double().T
    wanted = products.sort(dim=1, descending=True, stable=True)
    index, product = nearest_code(case.x, case.weight, case.k, metric="dot", backend=backend)
    assert torch.equal(index, wanted.indices[:, : case.k])
    torch.testing.assert_close(product.double(), wanted.values[:, : case.k], **TOLERANCE[case.x.dtype])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_copies_of_a_code_come_lowest_first(metric: str, backend: str):
    x = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    codebook = torch.tensor([[9.0, -9.0], [1.0, 1.0], [3.0, 4.0], [3.0, 4.0], [-9.0, -9.0]])
    index, _ = nearest_code(x, codebook, 5, metric=metric, backend=backend)
    places = [index[0].tolist().index(code) for code in (2, 3)]
    assert places[1] == places[0] + 1
    if metric != "euclidean":
        assert index[1].tolist() == [0, 1, 2, 3, 4], "a zero row is equally near to all"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_screening_signed_scores_changes_nothing(metric: str, scale: float, monkeypatch: pytest.MonkeyPatch):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 40, generator=generator)
    codebook = scale * torch.randn(1200, 40, generator=generator)
    monkeypatch.setattr("sparse_kernels.cpu.rough.multiplies_bfloat16", lambda: True)
    screened = nearest_code(x, codebook, 3, metric=metric, backend="cpu")
    _assert_nearest(x, codebook, 3, metric, screened)
    monkeypatch.setattr("sparse_kernels.cpu.rough.multiplies_bfloat16", lambda: False)
    whole = nearest_code(x, codebook, 3, metric=metric, backend="cpu")
    assert (screened[0] == whole[0]).float().mean() > 0.999, "rounding may swap a pair now and then"
    torch.testing.assert_close(screened[1], whole[1], rtol=1e-5, atol=1e-5)


def test_negative_scores_are_ranked_though_the_screening_knows_positive_ones_only(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sparse_kernels.cpu.rough.multiplies_bfloat16", lambda: True)
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.ones(300, 3), -torch.rand(1100, 3, generator=generator) - 0.1
    calls: list[int] = []
    original = encoder._screen
    monkeypatch.setattr(encoder, "_screen", lambda x, *rest: calls.append(len(x)) or original(x, *rest))
    index, value = encode_topk(x, weight, None, 2, relu=False, backend="cpu")
    wanted = weight.sum(1).topk(2)
    assert calls == [300]
    assert torch.equal(index, wanted.indices.expand(300, 2))
    torch.testing.assert_close(value, wanted.values.expand(300, 2))


def test_a_code_that_is_the_row_has_distance_zero_far_from_the_origin():
    x = torch.tensor([[1e3, 1e3, 3.0]])
    codebook = torch.cat([torch.zeros(1, 3), x, x + 10])
    index, distance = nearest_code(x, codebook, 2, metric="euclidean", backend="cpu")
    assert index.tolist() == [[1, 2]]
    torch.testing.assert_close(distance, torch.tensor([[0.0, 300**0.5]]))


@pytest.mark.parametrize("metric", METRICS)
def test_a_row_with_nan_says_so_and_leaves_its_neighbours_alone(metric: str):
    x = torch.tensor([[1.0, 0.0], [float("nan"), 0.0]])
    codebook = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.5]])
    index, nearness = nearest_code(x, codebook, 2, metric=metric, backend="cpu")
    assert nearness[0].isfinite().all()
    assert nearness[1].isnan().all()
    assert index[1].tolist() == [0, 1]


@pytest.mark.parametrize("metric", METRICS)
def test_groups_are_searched_each_in_their_own_codebook(metric: str):
    generator = torch.Generator().manual_seed(0)
    x, codebook = torch.randn(5, 3, 4, generator=generator), torch.randn(3, 40, 4, generator=generator)
    index, nearness = nearest_code(x, codebook, 2, metric=metric)
    assert index.shape == nearness.shape == (5, 3, 2)
    for group in range(3):
        wanted = nearest_code(x[:, group], codebook[group], 2, metric=metric)
        assert torch.equal(index[:, group], wanted[0])
        assert torch.equal(nearness[:, group], wanted[1])


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_quantising_passes_the_gradient_straight_through(grouped: bool, reduce: str, backend: str):
    generator = torch.Generator().manual_seed(0)
    groups = (3,) if grouped else ()
    x = torch.randn(6, *groups, 4, generator=generator).requires_grad_()
    codebook = torch.randn(*groups, 20, 4, generator=generator).requires_grad_()
    out, index = quantise(x, codebook, 2, reduce=reduce, backend=backend)
    upstream = torch.randn(out.shape, generator=generator)
    out.backward(upstream)
    copy = codebook.detach().clone().requires_grad_()
    parts = copy[torch.arange(3)[:, None], index] if grouped else copy[index]
    wanted = parts.sum(-2) if reduce == "sum" else parts.mean(-2)
    torch.testing.assert_close(out, wanted)
    wanted.backward(upstream)
    assert torch.equal(x.grad, upstream)
    torch.testing.assert_close(codebook.grad, copy.grad)


def test_empty_batches_and_half_precision():
    codebook = torch.randn(300, 4)
    index, nearness = nearest_code(torch.zeros(0, 4), codebook, 3)
    assert index.shape == nearness.shape == (0, 3)
    out, index = quantise(torch.randn(2, 4).bfloat16(), codebook.bfloat16(), 3)
    assert out.dtype == torch.bfloat16
    assert index.dtype == torch.int64


def test_straight_through_reaches_both():
    x, quantised = (torch.randn(2, 3, requires_grad=True) for _ in range(2))
    out = straight_through(x, quantised)
    assert torch.equal(out, quantised)
    (2 * out).sum().backward()
    assert x.grad.unique().tolist() == quantised.grad.unique().tolist() == [2.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, r"k: wanted 1 to 6 \(the codes of a codebook\); found 0"),
        ({"k": 7}, r"k: wanted 1 to 6"),
        ({"metric": "manhattan"}, r"metric: wanted one of dot, cosine, euclidean; found 'manhattan'"),
        ({"x": torch.zeros(4)}, r"x: wanted \[n, d\] or \[n, g, d\]; found \[4\]"),
        ({"x": torch.zeros(2, 4, dtype=torch.int64)}, r"x: wanted a floating dtype"),
        ({"codebook": torch.zeros(6, 5)}, r"codebook: wanted \[c, 4\] .* found \[6, 5\]"),
        ({"codebook": torch.zeros(2, 6, 4)}, r"codebook: wanted \[c, 4\] .* found \[2, 6, 4\]"),
        ({"x": torch.zeros(2, 3, 4)}, r"codebook: wanted \[3, c, 4\] .* found \[6, 4\]"),
        ({"codebook": torch.zeros(6, 4).bfloat16()}, r"codebook: wanted the dtype of x"),
    ],
)
def test_operands_that_do_not_fit_are_named(change: dict, message: str):
    given = {"x": torch.zeros(2, 4), "codebook": torch.zeros(6, 4), "k": 2} | change
    with pytest.raises(KernelError, match=message):
        nearest_code(**given)
    with pytest.raises(KernelError, match="reduce: wanted sum or mean; found 'product'"):
        quantise(torch.zeros(2, 4), torch.zeros(6, 4), 1, reduce="product")
    with pytest.raises(KernelError, match=r"quantised: wanted the shape of x"):
        straight_through(torch.zeros(2, 4), torch.zeros(2, 3))


def test_a_small_codebook_takes_the_kernels_where_rows_are_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORKBENCH_KERNELS", raising=False)
    asked, original = [], encode_topk

    def noting(*operands, backend: str, **rest):
        asked.append(backend)
        return original(*operands, backend="reference", **rest)

    monkeypatch.setattr("sparse_kernels.nearest.encode_topk", noting)
    codebook = torch.randn(128, 4)
    for rows in (4096, 4097):
        nearest_code(torch.randn(rows, 4), codebook, 1)
    nearest_code(torch.randn(4097, 4, dtype=torch.float64), codebook.double(), 1)
    assert asked == ["reference", "cpu", "reference"]
