"""What every operation promises, whatever it computes: one table of operations, one test for each promise.

A new operation with a `backend` is one entry; `test_every_operation_is_in_the_table` asks for it.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from operand_cases import TOLERANCE
from torch import Tensor

import sparse_kernels
from sparse_kernels import (
    decode,
    encode_batch_topk,
    encode_threshold,
    encode_topk,
    gather_mlp,
    keep_topk_,
    nearest_code,
    note_firing_,
    quantise,
    reconstruction_error,
    remove_radial_,
    row_moments,
    row_sparse_adam_,
    soft_mask_gradient,
    soft_masked,
    squared_deviation,
    topk_mlp,
    unit_norm_,
)

N, D, F, K = 5, 6, 41, 4
HALVES = (torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Operation:
    """An operation on drawn operands.

    Attributes:
        call: (operands, backend) -> outputs. `shapes`: of the floating operands, with the number of rows for "n".
        codes: the first operand is an index [n, K] into F features, which `call` gets before the others.
        by_row: a row of the first floating operand decides about its own row of the outputs only.
        changes: the operand that is changed in place, which is then the output.
        differentiable: how many of the floating operands get a gradient.
        straight_through: that gradient is not the derivative, on purpose.
    """

    call: Callable[..., object]
    shapes: tuple[tuple[int | str, ...], ...]
    codes: bool = False
    by_row: bool = True
    changes: int | None = None
    differentiable: int = 0
    straight_through: bool = False


ENCODER = (("n", D), (F, D), (F,))
OPERATIONS: dict[str, Operation] = {
    "encode_topk": Operation(lambda x, w, b, **how: encode_topk(x, w, b, K, **how), ENCODER, differentiable=3),
    "encode_batch_topk": Operation(
        lambda x, w, b, **how: encode_batch_topk(x, w, b, K, **how), ENCODER, by_row=False, differentiable=3
    ),
    "encode_threshold": Operation(
        lambda x, w, b, **how: encode_threshold(x, w, b, 1.0, **how), ENCODER, by_row=False, differentiable=3
    ),
    "decode": Operation(decode, (("n", K), (F, D)), codes=True, differentiable=2),
    "reconstruction_error": Operation(
        lambda i, v, w, b, t, **how: reconstruction_error(i, v, w, b, t, **how)[0],
        (("n", K), (F, D), (D,), ("n", D)),
        codes=True,
        differentiable=4,
    ),
    "nearest_code": Operation(lambda x, c, **how: nearest_code(x, c, K, metric="dot", **how), (("n", D), (F, D))),
    "quantise": Operation(
        lambda x, c, **how: quantise(x, c, K, metric="dot", **how),
        (("n", D), (F, D)),
        differentiable=2,
        straight_through=True,
    ),
    "gather_mlp": Operation(
        lambda x, up, down, gate, **how: gather_mlp(x, up, down, torch.arange(0, F, 3), w_gate=gate, **how),
        (("n", D), (F, D), (F, D), (F, D)),
    ),
    "topk_mlp": Operation(
        lambda x, up, down, gate, **how: topk_mlp(x, up, down, K, w_gate=gate, **how),
        (("n", D), (F, D), (F, D), (F, D)),
    ),
    "soft_masked": Operation(lambda w, m, **how: soft_masked(w, m.float(), 2.0, **how), (("n", D), ("n", D))),
    "soft_mask_gradient": Operation(
        lambda g, w, m, **how: soft_mask_gradient(g, w, m.float(), 2.0, 0.5, **how), (("n", D), ("n", D), ("n", D))
    ),
    "squared_deviation": Operation(squared_deviation, (("n", D),), by_row=False),
    "row_moments": Operation(row_moments, (("n", D),)),
    "keep_topk_": Operation(lambda s, **how: keep_topk_(s, K, **how), (("n", F),), changes=0),
    "note_firing_": Operation(
        lambda i, v, **how: note_firing_(FIRED, i, v, len(v), **how) or FIRED, (("n", K),), codes=True, by_row=False
    ),
    "unit_norm_": Operation(unit_norm_, (("n", D),), changes=0),
    "remove_radial_": Operation(remove_radial_, (("n", D), ("n", D)), changes=0),
    "row_sparse_adam_": Operation(
        lambda w, g, **how: row_sparse_adam_(torch.arange(len(w)), g, w, *_moments(w), lr=0.1, **how),
        (("n", D), ("n", D)),
        changes=0,
    ),
}
FIRED = torch.zeros(F, dtype=torch.int64)


def _moments(weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.zeros_like(weight), torch.zeros_like(weight), torch.zeros(len(weight), dtype=torch.int32)


def _operands(operation: Operation, rows: int = N, dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Tensor]:
    """Small whole numbers: sums of products are exact in every dtype, and ties are many."""
    draw = torch.Generator().manual_seed(seed)
    sizes = [[rows if size == "n" else int(size) for size in shape] for shape in operation.shapes]
    floats = [torch.randint(-2, 3, size, generator=draw).to(dtype) for size in sizes]
    return [torch.randint(0, F, (rows, K), generator=draw), *floats] if operation.codes else floats


def _outputs(operation: Operation, operands: list[Tensor], backend: str) -> list[Tensor]:
    FIRED.zero_()
    found = operation.call(*operands, backend=backend)
    if operation.changes is not None:
        return [operands[operation.changes].clone()]
    return [each.clone() for each in (found if isinstance(found, tuple) else (found,)) if isinstance(each, Tensor)]


def _gradients(operation: Operation, operands: list[Tensor], backend: str) -> list[Tensor]:
    leaves = [each.clone().requires_grad_() if each.is_floating_point() else each for each in operands]
    outputs = operation.call(*leaves, backend=backend)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum((each.float().abs().sum() for each in outputs if each.requires_grad), torch.zeros(())).backward()
    return [leaf.grad for leaf in leaves if leaf.grad is not None]


def _near(found: Tensor, wanted: Tensor) -> None:
    """The same shape and dtype; whole numbers the same; others to the dtype's rounding of the largest."""
    if not wanted.is_floating_point() or not wanted.numel():
        assert (found.dtype, found.shape, found.tolist()) == (wanted.dtype, wanted.shape, wanted.tolist())
        return
    scale = max(1.0, float(wanted.abs().max()))
    torch.testing.assert_close(found / scale, wanted / scale, **TOLERANCE[wanted.dtype])


def _those(wanted: Callable[[Operation], object]) -> pytest.MarkDecorator:
    chosen = {name: operation for name, operation in OPERATIONS.items() if wanted(operation)}
    return pytest.mark.parametrize("operation", chosen.values(), ids=chosen)


each_operation = _those(lambda operation: True)
differentiable = _those(lambda operation: operation.differentiable)


def test_every_operation_is_in_the_table():
    public = {name: getattr(sparse_kernels, name) for name in sparse_kernels.__all__}
    functions = {name: each for name, each in public.items() if inspect.isfunction(each)}
    wanted = {name for name, each in functions.items() if "backend" in inspect.signature(each).parameters}
    assert wanted == set(OPERATIONS)


@each_operation
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rows", [0, 1, N, 300])
def test_agrees_with_the_reference(operation: Operation, dtype: torch.dtype, rows: int):
    backend = "auto" if dtype == torch.float64 else "cpu"
    found = _outputs(operation, _operands(operation, rows, dtype), backend)
    wanted = _outputs(operation, _operands(operation, rows, dtype), "reference")
    for one, other in zip(found, wanted, strict=True):
        _near(one, other)


@differentiable
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rows", [0, N, 300])
def test_gradients_agree_with_the_reference(operation: Operation, dtype: torch.dtype, rows: int):
    operands = _operands(operation, rows, dtype)
    found = _gradients(operation, operands, "auto" if dtype == torch.float64 else "cpu")
    wanted = _gradients(operation, operands, "reference")
    assert len(found) == operation.differentiable
    for one, other in zip(found, wanted, strict=True):
        _near(one, other)


@each_operation
def test_operands_need_not_be_contiguous(operation: Operation):
    plain = _operands(operation)
    strided = [torch.stack([each, each], -1)[..., 0] for each in plain]
    assert not any(each.is_contiguous() for each in strided)
    for one, other in zip(_outputs(operation, strided, "cpu"), _outputs(operation, plain, "cpu"), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@each_operation
def test_two_runs_are_bit_identical(operation: Operation):
    draw = torch.Generator().manual_seed(7)
    operands = _operands(operation, 300)
    operands = [torch.randn(each.shape, generator=draw) if each.is_floating_point() else each for each in operands]
    runs = [_outputs(operation, [each.clone() for each in operands], "cpu") for _ in range(2)]
    if operation.differentiable:
        runs = [run + _gradients(operation, operands, "cpu") for run in runs]
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
@_those(lambda operation: operation.by_row)
def test_a_row_that_is_not_finite_leaves_its_neighbours_alone(operation: Operation, backend: str, bad: float):
    first = 1 if operation.codes else 0
    broken = _operands(operation)
    broken[first][2, 0] = bad
    others = torch.arange(N) != 2
    found, wanted = _outputs(operation, broken, backend), _outputs(operation, _operands(operation), backend)
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one[others], other[others])


@_those(lambda operation: operation.differentiable and not operation.straight_through)
def test_gradcheck_in_float64(operation: Operation):
    draw = torch.Generator().manual_seed(3)
    operands = _operands(operation, 3, torch.float64)
    operands = [
        torch.randn(each.shape, generator=draw, dtype=torch.float64) if each.is_floating_point() else each
        for each in operands
    ]
    leaves = [each.requires_grad_() if each.is_floating_point() else each for each in operands]

    def values(*given: Tensor) -> tuple[Tensor, ...]:
        outputs = operation.call(*given, backend="auto")
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(each for each in outputs if each.is_floating_point())

    assert torch.autograd.gradcheck(values, leaves)
