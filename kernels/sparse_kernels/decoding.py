"""decode: sparse rows times a matrix, with gradients to the values and the matrix."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels import reference
from sparse_kernels.dispatch import Backend, Chosen, choose_backend
from sparse_kernels.native import native_operations
from sparse_kernels.operands import check_codes
from sparse_kernels.weight_gradients import wants_sparse, weight_gradient


def decode(
    index: Int[Tensor, "*codes"],
    value: Float[Tensor, "*codes"],
    weight: Float[Tensor, "f d"],
    offsets: Int[Tensor, " n_plus_1"] | None = None,
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "n d"]:
    """out[i] = sum over row i's entries of value * weight[index].

    index and value are [n k], or ragged: [m], row i's entries from offsets[i] to offsets[i + 1].
    A feature that occurs twice in a row counts twice. Gradients reach value and weight, the same on every
    run; second derivatives exist on the reference only. float16 and bfloat16 compute in float32.

    Raises: KernelError for operands that do not fit one another; on a CPU also for an index outside weight
    and for offsets that do not rise from 0 to m.
    """
    check_codes(index, value, weight, offsets)
    chosen = choose_backend(backend, weight, weight.shape[0])
    if chosen == "reference" or 0 in index.shape or 0 in weight.shape:
        return reference.decode(index, value, weight, offsets)
    return _Decode.apply(index, value, weight, offsets, chosen)  # pyright: ignore[reportReturnType]


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, index: Tensor, value: Tensor, weight: Tensor, offsets: Tensor | None, chosen: Chosen
    ) -> Tensor:
        operations = native_operations(chosen)
        index = _counting(index)
        offsets = None if offsets is None else _counting(offsets)
        ctx.save_for_backward(index, value, weight, offsets)
        ctx.operations, ctx.chosen, ctx.sparse = operations, chosen, wants_sparse(weight)
        out = operations.gather_sum(index, value.float().contiguous(), weight.float().contiguous(), offsets)
        return out.to(weight.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        index, value, weight, offsets = ctx.saved_tensors
        gradient = upstream.float().contiguous()
        to_value = to_weight = None
        if ctx.needs_input_grad[1]:
            dots = ctx.operations.gather_dot(index, gradient, weight.float().contiguous(), offsets)
            to_value = dots.to(value.dtype)
        if ctx.needs_input_grad[2]:
            wide = value.float().contiguous()
            rows, _ = weight_gradient(ctx.chosen, index, wide, gradient, weight, offsets, ctx.sparse)
            to_weight = rows.to(weight.dtype)
        return None, to_value, to_weight, None, None


def _counting(index: Tensor) -> Tensor:
    return index if index.dtype == torch.int64 and index.is_contiguous() else index.long().contiguous()
