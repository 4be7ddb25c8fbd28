"""linear: the dense affine map, through the product that is fast on this processor."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sparse_kernels.cpu.product import linear_packed, prefers_onednn
from sparse_kernels.operands import check_encoder


def linear(
    x: Float[Tensor, "n d"], weight: Float[Tensor, "e d"], bias: Float[Tensor, " e"] | None = None
) -> Float[Tensor, "n e"]:
    """x @ weight.T + bias, with gradients to all three.

    `torch.nn.functional.linear`, except for float32 on processors where PyTorch's own choice (MKL) runs at half
    of oneDNN's speed: there forward and backward go to oneDNN.

    Raises: KernelError for operands that do not fit one another.
    """
    check_encoder(x, weight, bias)
    slow_by_default = x.device.type == "cpu" and x.dtype == torch.float32 and prefers_onednn()
    if not slow_by_default or 0 in (*x.shape, *weight.shape):
        return torch.nn.functional.linear(x, weight, bias)
    return _OneDnnLinear.apply(x, weight, bias)  # pyright: ignore[reportReturnType]


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return linear_packed(x, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        to_x = linear_packed(upstream, weight.T, None) if ctx.needs_input_grad[0] else None
        to_weight = linear_packed(upstream.T, x.T, None) if ctx.needs_input_grad[1] else None
        to_bias = upstream.sum(0) if ctx.needs_input_grad[2] else None
        return to_x, to_weight, to_bias
