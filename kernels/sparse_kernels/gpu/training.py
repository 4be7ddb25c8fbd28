"""The Triton path's operations of a training step, on float32 tensors: no checks, no autograd."""

import torch
from torch import Tensor

from sparse_kernels import reference_training as reference
from sparse_kernels.gpu import launch, operations, updates


def gather_error(
    index: Tensor, value: Tensor, weight: Tensor, base: Tensor, target: Tensor, offsets: Tensor | None, dots: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The residual, its squared lengths, its dots with the rows used: two kernels, whose rows recur in the cache."""
    residual = operations.gather_sum(index, value, weight, offsets).add_(base).sub_(target)
    products = operations.gather_dot(index, residual, weight, offsets) if dots else None
    return residual.square().sum(1), residual, products


squared_deviation = reference.squared_deviation
note_firing = reference.note_firing
keep_topk = reference.keep_topk


def scatter_rows(
    index: Tensor, coefficient: Tensor, source: Tensor, features: int, offsets: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The rows of `scatter_sum` that are not empty: which they are (rising), their sums with and without source.

    How many they are must be known to the host: the one point of a step where it waits.
    """
    rows = torch.unique(index[coefficient != 0])
    if not len(rows):
        return rows, source.new_zeros(0, source.shape[1]), source.new_zeros(0)
    place = torch.searchsorted(rows, index.reshape(-1)).clamp_(max=len(rows) - 1).view_as(index)
    found = operations.scatter_sum(place, coefficient, source, len(rows), offsets)
    return rows, *found


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
    steps[rows] += 1
    count = steps[rows].double()
    rates = (lr / (1 - betas[0] ** count)).float()
    growths = (1 - betas[1] ** count).rsqrt().float()
    d = gradient.shape[1]
    shape = launch.row_blocks(d)
    grid = (len(rows), -(-d // shape.constants["COLUMNS"]))
    numbers = (d, betas[0], 1 - betas[0], betas[1], 1 - betas[1], eps)
    tensors = (rows, gradient, weight, mean, square, rates, growths)
    launch.start(updates.row_sparse_adam, grid, *tensors, *numbers, **shape.options)


def unit_norm(weight: Tensor) -> None:
    d = weight.shape[1]
    launch.start(updates.unit_norm, (len(weight),), weight, d, **launch.row_blocks(d).options)


def remove_radial(rows: Tensor | None, gradient: Tensor, weight: Tensor) -> None:
    chosen = torch.arange(len(weight), device=weight.device) if rows is None else rows
    d = weight.shape[1]
    launch.start(updates.remove_radial, (len(gradient),), chosen, gradient, weight, d, **launch.row_blocks(d).options)
