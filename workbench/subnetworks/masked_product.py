"""A linear layer whose weight is masked softly, without keeping the masked weight."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sparse_kernels import soft_mask_gradient, soft_masked


class MaskedProduct(torch.autograd.Function):
    """x (W * sigmoid(T m))^T + b, and the gradients to x and m.

    The masked weight lives only while it is multiplied: backward makes it again. The gradient to m includes that of
    `penalty` times the sum of the soft mask, whose factor T s (1 - s) both share.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "*n i"],
        weight: Float[Tensor, "o i"],
        logits: Float[Tensor, "o i"],
        bias: Float[Tensor, " o"] | None,
        temperature: float,
        penalty: float,
    ) -> Float[Tensor, "*n o"]:
        ctx.save_for_backward(x, weight, logits)
        ctx.temperature, ctx.penalty = temperature, penalty
        return torch.nn.functional.linear(x, soft_masked(weight, logits, temperature), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, weight, logits = ctx.saved_tensors
        to_x = to_mask = None
        if ctx.needs_input_grad[0]:
            to_x = gradient @ soft_masked(weight, logits, ctx.temperature)
        if ctx.needs_input_grad[2]:
            rows, seen = gradient.flatten(0, -2), x.flatten(0, -2)
            # In the weight's own order, which need not be that of [out, in].
            to_weight = rows.T @ seen if weight.is_contiguous() else (seen.T @ rows).T
            to_mask = soft_mask_gradient(to_weight, weight, logits, ctx.temperature, ctx.penalty)
        return to_x, None, to_mask, None, None, None
