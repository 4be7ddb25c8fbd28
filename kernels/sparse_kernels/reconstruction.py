"""reconstruction_error: what sparse codes miss of their target, decoded, compared and differentiated in one visit."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels import reference_training as reference
from sparse_kernels.dispatch import Backend, Chosen, choose_backend
from sparse_kernels.errors import KernelError
from sparse_kernels.native_training import training_operations
from sparse_kernels.operands import check_codes, check_like, check_matrix, describe
from sparse_kernels.weight_gradients import wants_sparse, weight_gradient


def reconstruction_error(
    index: Int[Tensor, "*codes"],
    value: Float[Tensor, "*codes"],
    weight: Float[Tensor, "f d"],
    base: Float[Tensor, "*n d"],
    target: Float[Tensor, "n d"],
    offsets: Int[Tensor, " n+1"] | None = None,
    *,
    backend: Backend = "auto",
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n d"]]:
    """(error, residual): residual = decode(index, value, weight) + base - target, error its squared length by row.

    `base` is what is there beside the features, [d] or [n, d]. Gradients reach value, weight, base and target
    through the error; none passes through the residual. On a CPU a row is decoded, compared and multiplied with
    the rows of weight that it used while they are in the cache. Half precision computes and answers in float32.
    Second derivatives exist on the reference only.

    Raises: KernelError for operands that do not fit one another.
    """
    check_codes(index, value, weight, offsets)
    _check_target(index, weight, base, target, offsets)
    chosen = choose_backend(backend, weight, weight.shape[0])
    if chosen == "reference" or 0 in (*index.shape, *weight.shape, *target.shape):
        return reference.reconstruction_error(index, value, weight, base, target, offsets)
    return _ReconstructionError.apply(index, value, weight, base, target, offsets, chosen)  # pyright: ignore[reportReturnType]


def squared_deviation(rows: Float[Tensor, "n d"], *, backend: Backend = "auto") -> Float[Tensor, ""]:
    """The sum of the squared distances of the rows from their mean; no gradient. On a CPU one pass, in float64.

    Raises: KernelError for operands that are no matrix.
    """
    check_matrix("rows", rows, "[n, d]")
    rows = rows.detach()
    chosen = choose_backend(backend, rows)
    if chosen == "reference" or 0 in rows.shape:
        return reference.squared_deviation(rows)
    return training_operations(chosen).squared_deviation(rows.float().contiguous())


def _check_target(index: Tensor, weight: Tensor, base: Tensor, target: Tensor, offsets: Tensor | None) -> None:
    rows = len(index) if offsets is None else len(offsets) - 1
    check_matrix("target", target, f"[{rows}, {weight.shape[1]}]")
    if target.shape != (rows, weight.shape[1]):
        raise KernelError(
            f"target: wanted [{rows}, {weight.shape[1]}] to fit codes and weight; found {describe(target)}"
        )
    if base.shape not in (target.shape, target.shape[1:]):
        raise KernelError(f"base: wanted [{weight.shape[1]}] or the shape of target; found {describe(base)}")
    check_like("target", target, "weight", weight)
    check_like("base", base, "weight", weight)


class _ReconstructionError(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        index: Tensor,
        value: Tensor,
        weight: Tensor,
        base: Tensor,
        target: Tensor,
        offsets: Tensor | None,
        chosen: Chosen,
    ) -> tuple[Tensor, Tensor]:
        index = index.long().contiguous()
        offsets = None if offsets is None else offsets.long().contiguous()
        wide = value.float().contiguous()
        added = base.float().contiguous().view(-1, weight.shape[1])
        operands = (index, wide, weight.float().contiguous(), added, target.float().contiguous(), offsets)
        error, residual, dots = training_operations(chosen).gather_error(*operands, dots=ctx.needs_input_grad[1])
        ctx.save_for_backward(index, wide, weight, residual, dots, offsets)
        ctx.chosen, ctx.sparse = chosen, wants_sparse(weight)
        ctx.dtype, ctx.shared = value.dtype, base.ndim == 1
        ctx.mark_non_differentiable(residual)
        ctx.set_materialize_grads(False)
        return error, residual

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        if upstream is None:
            return (None,) * 7
        index, value, weight, residual, dots, offsets = ctx.saved_tensors
        twice = 2 * upstream.float()
        by_entry = _by_entry(twice, offsets)
        to_value = to_weight = to_base = to_target = None
        if ctx.needs_input_grad[1]:
            to_value = (dots * by_entry).to(ctx.dtype)
        if ctx.needs_input_grad[2]:
            coefficient = value * by_entry
            operands = (index, coefficient, residual, weight, offsets, ctx.sparse)
            to_weight = weight_gradient(ctx.chosen, *operands)[0]
        if ctx.needs_input_grad[3]:
            to_base = (twice @ residual if ctx.shared else twice[:, None] * residual).to(weight.dtype)
        if ctx.needs_input_grad[4]:
            to_target = (-twice[:, None] * residual).to(weight.dtype)
        return None, to_value, to_weight, to_base, to_target, None, None


def _by_entry(rows: Tensor, offsets: Tensor | None) -> Tensor:
    """A number for each row, for each of its entries."""
    return rows[:, None] if offsets is None else torch.repeat_interleave(rows, offsets.diff())
