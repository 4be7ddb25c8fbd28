"""Adam, its row-sparse relative and the unit norm, against PyTorch's own and the formulas."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from sparse_kernels import KernelError, adam_, remove_radial_, row_sparse_adam_, unit_norm_

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 999))
BACKENDS = ("cpu", "reference")


def state(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.zeros_like(weight), torch.zeros_like(weight), torch.zeros(len(weight), dtype=torch.int32)


def test_adam_is_pytorchs():
    draw = torch.Generator().manual_seed(0)
    wanted = torch.nn.Parameter(torch.randn(7, 5, generator=draw))
    found = wanted.detach().clone()
    theirs = torch.optim.Adam([wanted], lr=0.01, betas=(0.8, 0.95), eps=1e-6, fused=True)
    mean, square, step = torch.zeros(7, 5), torch.zeros(7, 5), torch.zeros(())
    for _ in range(5):
        wanted.grad = torch.randn(7, 5, generator=draw)
        adam_(found, wanted.grad.clone(), mean, square, step, lr=0.01, betas=(0.8, 0.95), eps=1e-6)
        theirs.step()
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_every_row_touched_it_is_adam(backend: str):
    draw = torch.Generator().manual_seed(0)
    wanted = torch.nn.Parameter(torch.randn(300, 33, generator=draw))
    found = wanted.detach().clone()
    theirs = torch.optim.Adam([wanted], lr=0.01, betas=(0.9, 0.99))
    own = state(found)
    for _ in range(20):
        wanted.grad = torch.randn(300, 33, generator=draw)
        row_sparse_adam_(torch.arange(300), wanted.grad, found, *own, lr=0.01, betas=(0.9, 0.99), backend=backend)
        theirs.step()
    torch.testing.assert_close(found, wanted.detach(), rtol=1e-5, atol=2e-6)
    assert own[2].unique().tolist() == [20]


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, flat=st.booleans())
def test_each_row_is_an_adam_of_its_own(sizes: tuple[int, int, int], flat: bool):
    """The formula, row by row: what a row becomes depends on the batches that touched it, and on nothing else."""
    f, d, seed = sizes
    shape = (f,) if flat else (f, d)
    for backend in BACKENDS:
        draw = torch.Generator().manual_seed(seed)
        weight = torch.randn(*shape, generator=draw)
        rows_alone = [torch.nn.Parameter(row.clone()) for row in weight]
        alone = [torch.optim.Adam([row], lr=0.02) for row in rows_alone]
        own = state(weight)
        for _ in range(4):
            rows = torch.randperm(f, generator=draw)[: f // 2 + 1].sort().values
            gradient = torch.randn(len(rows), *shape[1:], generator=draw)
            row_sparse_adam_(rows, gradient, weight, *own, lr=0.02, backend=backend)
            for row, part in zip(rows.tolist(), gradient, strict=True):
                rows_alone[row].grad = part
                alone[row].step()
        torch.testing.assert_close(weight, torch.stack([row.detach() for row in rows_alone]), rtol=1e-4, atol=1e-5)


def test_it_differs_from_sparse_adam_by_the_bias_correction_alone():
    """SparseAdam counts the batches of the run, we those of the row: the same while every batch touches the row."""
    weight = torch.nn.Parameter(torch.zeros(4, 3))
    found, gradient = torch.zeros(4, 3), torch.ones(1, 3)
    theirs = torch.optim.SparseAdam([weight], lr=0.1)
    own = state(found)
    for row in (0, 0, 1):
        rows = torch.tensor([row])
        weight.grad = torch.sparse_coo_tensor(rows[None], gradient, (4, 3), check_invariants=True)
        theirs.step()
        row_sparse_adam_(rows, gradient, found, *own, lr=0.1)
    torch.testing.assert_close(found[0], weight[0].detach(), rtol=1e-5, atol=1e-6)
    assert found[1, 0] == pytest.approx(-0.1, rel=1e-4)
    late = (1 - 0.9) / (1 - 0.9**3) / ((1 - 0.999) / (1 - 0.999**3)) ** 0.5
    assert float(weight.detach()[1, 0]) == pytest.approx(-0.1 * late, rel=1e-3)
    assert own[2].tolist() == [2, 1, 0, 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_untouched_rows_rest(backend: str):
    weight = torch.randn(500, 6)
    before, own = weight.clone(), state(weight)
    row_sparse_adam_(torch.tensor([3, 499]), torch.ones(2, 6), weight, *own, lr=0.1, backend=backend)
    rest = [row for row in range(500) if row not in (3, 499)]
    assert torch.equal(weight[rest], before[rest])
    assert not any(bool(part[rest].any()) for part in own)


@settings(max_examples=30, deadline=None)
@given(sizes=SIZES)
def test_rows_of_unit_length(sizes: tuple[int, int, int]):
    f, d, seed = sizes
    weight = torch.randn(f, d, generator=torch.Generator().manual_seed(seed)) * 10
    weight[0] = 0
    for backend in BACKENDS:
        found = weight.clone()
        unit_norm_(found, backend=backend)
        torch.testing.assert_close(found, torch.nn.functional.normalize(weight), rtol=1e-5, atol=1e-6)
        assert not found[0].any()


@settings(max_examples=30, deadline=None)
@given(sizes=SIZES, some=st.booleans())
def test_a_gradient_without_its_radial_part(sizes: tuple[int, int, int], some: bool):
    f, d, seed = sizes
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(f, d, generator=draw)
    weight[-1] = 0
    rows = torch.randperm(f, generator=draw)[: f // 2 + 1] if some else None
    chosen = weight if rows is None else weight[rows]
    gradient = torch.randn(len(chosen), d, generator=draw)
    for backend in BACKENDS:
        found = gradient.clone()
        remove_radial_(found, weight, rows, backend=backend)
        torch.testing.assert_close((found * chosen).sum(1), torch.zeros(len(chosen)), atol=3e-5, rtol=0)
        removed = gradient - found
        along = torch.nn.functional.normalize(chosen)
        torch.testing.assert_close((removed * along).sum(1, keepdim=True) * along, removed, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_and_strides_take_the_reference(dtype: torch.dtype):
    weight = torch.randn(6, 10).to(dtype)[:, ::2]
    unit_norm_(weight)
    torch.testing.assert_close(weight.norm(dim=1).float(), torch.ones(6), atol=2e-2, rtol=0)
    own = state(weight)
    row_sparse_adam_(torch.tensor([1]), torch.ones(1, 5, dtype=dtype), weight, *own, lr=0.1)
    assert own[2].tolist() == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": torch.tensor([4])}, r"rows: wanted 0 to 3 \(the rows of weight\); found 4 to 4"),
        ({"rows": torch.tensor([1.0])}, r"rows: wanted \[m\] int64 or int32"),
        ({"gradient": torch.zeros(2, 3)}, r"gradient: wanted \[1, 3\] to fit rows and weight; found \[2, 3\]"),
        ({"mean": torch.zeros(3, 3)}, "mean: wanted the shape of weight"),
        ({"square": torch.zeros(4, 3).double()}, "square: wanted the dtype of weight"),
        ({"steps": torch.zeros(4)}, r"steps: wanted \[4\] int32 or int64"),
    ],
)
def test_operands_that_do_not_fit_are_named(change: dict, message: str):
    given = {
        "rows": torch.tensor([1]),
        "gradient": torch.zeros(1, 3),
        "weight": torch.zeros(4, 3),
        "mean": torch.zeros(4, 3),
        "square": torch.zeros(4, 3),
        "steps": torch.zeros(4, dtype=torch.int32),
    }
    with pytest.raises(KernelError, match=message):
        row_sparse_adam_(**(given | change), lr=0.1)


def test_refusals_of_the_others():
    with pytest.raises(KernelError, match="mean: wanted the shape of weight"):
        adam_(torch.zeros(2), torch.zeros(2), torch.zeros(3), torch.zeros(2), torch.zeros(()), lr=0.1)
    with pytest.raises(KernelError, match="gradient: wanted the shape of weight"):
        remove_radial_(torch.zeros(2, 3), torch.zeros(3, 3))
    with pytest.raises(KernelError, match=r"weight: wanted \[f, d\]"):
        unit_norm_(torch.zeros(3))
