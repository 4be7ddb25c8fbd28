"""Cross-entropy against whole distributions, with its gradient made in the same pass, a few rows at a time."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .targets import Wanted

_NUMBERS = 1 << 22
"""Logits looked at together, in float32."""


class _SoftCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Float[Tensor, "p v"], probs: Float[Tensor, "m v"], index: Int[Tensor, " p"]
    ) -> Float[Tensor, ""]:
        total, count = logits.new_zeros((), dtype=torch.float64), len(logits)
        gradient = torch.empty_like(logits) if ctx.needs_input_grad[0] else None
        for rows in torch.arange(count, device=logits.device).split(max(1, _NUMBERS // logits.shape[1])):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            found, wanted = logits[part].float(), probs[index[part]]
            norm = torch.logsumexp(found, 1, keepdim=True)
            total += (norm[:, 0].double() - torch.einsum("pv,pv->p", found, wanted)).sum()
            if gradient is not None:
                gradient[part] = torch.sub(found, norm).exp_().sub_(wanted).div_(count)
        ctx.gradient = gradient
        return (total / count).float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None]:
        return ctx.gradient.mul_(gradients[0]), None, None


def soft_cross_entropy(logits: Float[Tensor, "p v"], wanted: Wanted) -> Float[Tensor, ""]:
    """Mean over positions of -sum_v wanted(v) ln softmax(logits)(v), in nats."""
    return _SoftCrossEntropy.apply(logits, wanted.probs, wanted.index)  # pyright: ignore[reportReturnType]


def entropy(wanted: Wanted) -> float:
    """Mean entropy of what is wanted, in nats: the least that `soft_cross_entropy` can be."""
    each = torch.special.entr(wanted.probs).sum(1)
    return float(each[wanted.index].mean())
