"""decode: sparse rows times a matrix, with gradients to the values and the matrix."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels import reference
from sparse_kernels.dispatch import Backend, Chosen, choose_backend
from sparse_kernels.native import native_operations
from sparse_kernels.operands import check_codes


def decode(
    index: Int[Tensor, "n k"],
    value: Float[Tensor, "n k"],
    weight: Float[Tensor, "f d"],
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "n d"]:
    """out[i] = sum over j of value[i, j] * weight[index[i, j]].

    A feature that occurs twice in a row counts twice. Gradients reach value and weight, the same on every
    run; second derivatives exist on the reference only. float16 and bfloat16 compute in float32.

    Raises: KernelError for operands that do not fit one another; on a CPU also for an index outside weight.
    """
    check_codes(index, value, weight)
    chosen = choose_backend(backend, weight, weight.shape[0])
    if chosen == "reference" or 0 in index.shape or 0 in weight.shape:
        return reference.decode(index, value, weight)
    return _Decode.apply(index, value, weight, chosen)  # pyright: ignore[reportReturnType]


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, index: Tensor, value: Tensor, weight: Tensor, chosen: Chosen) -> Tensor:
        operations = native_operations(chosen)
        index = index if index.dtype == torch.int64 and index.is_contiguous() else index.long().contiguous()
        ctx.save_for_backward(index, value, weight)
        ctx.operations = operations
        out = operations.gather_sum(index, value.float().contiguous(), weight.float().contiguous())
        return out.to(weight.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        index, value, weight = ctx.saved_tensors
        gradient = upstream.float().contiguous()
        to_value = to_weight = None
        if ctx.needs_input_grad[1]:
            to_value = ctx.operations.gather_dot(index, gradient, weight.float().contiguous()).to(value.dtype)
        if ctx.needs_input_grad[2]:
            rows, _ = ctx.operations.scatter_sum(index, value.float().contiguous(), gradient, weight.shape[0])
            to_weight = rows.to(weight.dtype)
        return None, to_value, to_weight, None
