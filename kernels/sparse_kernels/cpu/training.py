"""The CPU path's operations of a training step, on float32 tensors: no checks, no autograd."""

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu.compiled import by_rows, kernel_module, threads
from sparse_kernels.cpu.operations import _even_bounds, _offsets, group_by_feature
from sparse_kernels.cpu.workspace import gradients


def gather_error(
    index: Tensor, value: Tensor, weight: Tensor, base: Tensor, target: Tensor, offsets: Tensor | None, dots: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """residual [n d] of the sparse sum + base against target, its squared lengths [n], its dots with the rows used."""
    residual, error = torch.empty(target.shape), torch.empty(len(target))
    products = torch.empty(index.shape if dots else (0,))
    ends = _offsets(index, offsets)
    found = residual.numpy(), error.numpy(), products.view(-1).numpy()
    given = index.view(-1).numpy(), ends, value.view(-1).numpy(), weight.numpy(), base.numpy(), target.numpy()
    kernels = kernel_module("residuals")
    with threads() as parts:
        if parts == 1:
            kernels.gather_error(*given, *found, 0, len(target))
        else:
            kernels.gather_error_parallel(*given, *found, _even_bounds(ends, parts))
    return error, residual, products if dots else None


def squared_deviation(rows: Tensor) -> Tensor:
    """Sum of the squared distances of the rows from their mean, in one pass."""
    kernels = kernel_module("residuals")
    with threads() as parts:
        sums, squares = np.empty((parts, rows.shape[1])), np.empty(parts)
        if parts == 1:
            kernels.column_sums(rows.numpy(), sums, squares, 0, 0, len(rows))
        else:
            kernels.column_sums_parallel(rows.numpy(), sums, squares)
    total = squares.sum() - np.square(sums.sum(0)).sum() / len(rows)
    return torch.tensor(max(total, 0.0) if total == total else total, dtype=torch.float32)


def scatter_rows(
    index: Tensor, coefficient: Tensor, source: Tensor, features: int, offsets: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of `scatter_sum` that are not empty: which they are (rising), their sums with and without source."""
    kernels = kernel_module("updates")
    groups, flat = group_by_feature(index, features, offsets), coefficient.view(-1).numpy()
    room = np.empty(min(features, flat.size), np.int64)
    rows = room[: kernels.touched(groups.begins, groups.entries, flat, room)]
    values = gradients.take((_rounded(len(rows)), source.shape[1]))[: len(rows)]
    sums = torch.empty(len(rows))
    operands = (rows, *groups, flat, source.numpy(), values.numpy(), sums.numpy())
    with threads() as parts:
        if parts == 1:
            kernels.scatter_rows(*operands, 0, len(rows))
        else:
            work = np.concatenate(([0], np.cumsum(groups.begins[rows + 1] - groups.begins[rows])))
            kernels.scatter_rows_parallel(*operands, _even_bounds(work, parts))
    return torch.from_numpy(rows), values, sums


def _rounded(rows: int) -> int:
    """A little more, so that batches which touch about as many rows use the same memory again."""
    step = max(1, 1 << max(0, rows.bit_length() - 3))
    return -(-rows // step) * step


def row_sparse_adam(
    rows: Tensor,
    gradient: Tensor,
    weight: Tensor,
    mean: Tensor,
    square: Tensor,
    steps: Tensor,
    lr: float,
    betas: tuple[float, float],
    eps: float,
) -> None:
    tensors = (tensor.numpy() for tensor in (rows, gradient, weight, mean, square, steps))
    by_rows("updates", "row_sparse_adam", (*tensors, float(lr), *map(float, betas), float(eps)), len(rows))


def unit_norm(weight: Tensor) -> None:
    by_rows("updates", "unit_norm", (weight.numpy(),), len(weight))


def remove_radial(rows: Tensor | None, gradient: Tensor, weight: Tensor) -> None:
    chosen = np.arange(len(weight)) if rows is None else rows.numpy()
    by_rows("updates", "remove_radial", (chosen, gradient.numpy(), weight.numpy()), len(gradient))


def note_firing(rows_since_fired: Tensor, index: Tensor, value: Tensor, rows: int) -> None:
    operands = rows_since_fired.numpy(), index.reshape(-1).numpy(), value.reshape(-1).numpy(), rows
    kernel_module("updates").note_firing(*operands)


def keep_topk(scores: Tensor, k: int) -> None:
    array = scores.numpy()
    by_rows("keep", "keep_topk", (array, array.view(np.int32), k), len(scores))
