"""A linear layer whose weight is masked softly, without keeping the masked weight."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


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
        return torch.nn.functional.linear(x, masked(weight, logits, temperature), bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, weight, logits = ctx.saved_tensors
        soft = torch.mul(logits, ctx.temperature).sigmoid_()
        to_x = to_mask = None
        if ctx.needs_input_grad[0]:
            to_x = gradient @ soft.to(weight.dtype).mul(weight)
        if ctx.needs_input_grad[2]:
            # The small factor takes the temperature, so that no pass over the matrix is needed for it.
            to_weight = (gradient.flatten(0, -2) * ctx.temperature).T @ x.flatten(0, -2)
            to_mask = torch.mul(soft, to_weight).mul_(weight)
            if ctx.penalty:
                to_mask.add_(soft, alpha=ctx.penalty * ctx.temperature)
            to_mask.addcmul_(to_mask, soft, value=-1)
        return to_x, None, to_mask, None, None, None


def masked(weight: Float[Tensor, "*s"], logits: Float[Tensor, "*s"], temperature: float) -> Float[Tensor, "*s"]:
    """The weight times its soft mask, in the weight's dtype."""
    return torch.mul(logits, temperature).sigmoid_().to(weight.dtype).mul_(weight)
