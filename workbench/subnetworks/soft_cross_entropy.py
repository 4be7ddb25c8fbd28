"""Cross-entropy against whole distributions, with its gradient made in the same pass, a few rows at a time."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .targets import Wanted

_NUMBERS = 1 << 21
"""Logits looked at together, in float32."""


class _SoftCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        logits: Float[Tensor, "q v"],
        probs: Float[Tensor, "m v"],
        index: Int[Tensor, " p"],
        places: Int[Tensor, " p"],
    ) -> Float[Tensor, ""]:
        total, count = torch.zeros((), dtype=torch.float64, device=logits.device), len(places)
        gradient = torch.zeros_like(logits) if ctx.needs_input_grad[0] else None
        size = max(1, _NUMBERS // logits.shape[1])
        for rows, wants in zip(places.split(size), index.split(size), strict=True):
            found, wanted = logits[rows].to(torch.float32), probs[wants]
            total -= torch.einsum("pv,pv->p", found, wanted).double().sum()
            top = found.amax(1, keepdim=True)
            whole = found.sub_(top).exp_().sum(1, keepdim=True)
            total += (top + whole.log()).double().sum()
            if gradient is not None:
                gradient[rows] = found.mul_(1 / (count * whole)).sub_(wanted, alpha=1 / count).to(gradient.dtype)
        ctx.gradient = gradient
        return (total / count).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, None]:
        factor = gradients[0]
        return ctx.gradient if float(factor) == 1 else ctx.gradient * factor, None, None, None


def soft_cross_entropy(
    logits: Float[Tensor, "*q v"], wanted: Wanted, where: Bool[Tensor, "*q"] | None = None
) -> Float[Tensor, ""]:
    """Mean over positions (those of `where`) of -sum_v wanted(v) ln softmax(logits)(v), in nats."""
    flat = logits.flatten(0, -2)
    places = torch.arange(len(flat), device=flat.device) if where is None else where.flatten().nonzero()[:, 0]
    return _SoftCrossEntropy.apply(flat, wanted.probs, wanted.index, places)  # pyright: ignore[reportReturnType]


def entropy(wanted: Wanted) -> float:
    """Mean entropy of what is wanted, in nats: the least that `soft_cross_entropy` can be."""
    each = torch.special.entr(wanted.probs).sum(1)
    return float(each[wanted.index].mean())
