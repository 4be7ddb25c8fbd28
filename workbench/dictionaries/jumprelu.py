"""JumpReLU: a threshold for every feature, learned through a straight-through estimator."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.core import Codes, register

from .active import Active, above, batch_topk
from .gates import Gate, Terms, annealed
from .objective import Objective


@register("gate", "jumprelu")
class JumpReLU(Gate):
    """f = z H(z - theta) with z = W x + b and theta = exp(log_threshold), penalised by its L0.

    Rajamanoharan et al. 2024, "Jumping Ahead": equations 9 to 12 for the pseudo-derivatives with a rectangle kernel of
    width `bandwidth`; penalty l0 * L0, or l0 * (L0 / k - 1)^2 where an L0 is aimed at (appendix on a desired
    sparsity). Their bandwidth and first threshold are 0.001 for rows of norm 1 and some 10^5 steps; here rows have norm
    sqrt(d), the rectangle is wide and all thresholds start where the first rows have an L0 of k, so that short runs
    arrive. On planted features the plain l0 * L0 (k: none, l0 0.02) finds more of them than an aim of the true L0.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.k: int | None = config.k
        self.k_start: float = config.k_start
        self.weight: float = config.l0
        self.bandwidth: float = config.bandwidth
        self.log_threshold = nn.Parameter(torch.full((config.d_sae,), config.threshold).log())

    @property
    def threshold(self) -> Float[Tensor, " f"]:
        """The pre-activation that a feature must exceed."""
        return self.log_threshold.exp()

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Codes:
        return above(x, weight, bias, self.threshold)

    def learn(self, x: Tensor, weight: Tensor, bias: Tensor, objective: Objective) -> tuple[Active, Terms]:
        acts, counts = jump(x @ weight.T + bias, self.log_threshold, self.bandwidth)
        l0 = counts.mean()
        if self.k is None:
            return acts, {"sparsity": objective.sparsity * self.weight * l0}
        aim = annealed(self.k, self.k_start, objective.sparsity)
        return acts, {"sparsity": self.weight * (l0 / aim - 1).square()}

    @torch.no_grad()
    def calibrate_(self, x: Tensor, weight: Tensor, bias: Tensor) -> None:
        if self.k is None:
            return
        value = batch_topk(x, weight, bias, min(round(self.k * self.k_start), len(weight))).value
        if value.numel():
            self.log_threshold.fill_(float(value.min().clamp_min(1e-6).log()))


class _Jump(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, log_threshold: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
        threshold = log_threshold.exp()
        active = ~(z <= threshold)
        ctx.save_for_backward(z, threshold, active)
        ctx.bandwidth = bandwidth
        return torch.where(active, z, 0.0), active.sum(1).to(z.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, to_acts: Tensor, to_counts: Tensor) -> tuple[Tensor, Tensor, None]:
        z, threshold, active = ctx.saved_tensors
        near = (z - threshold).abs() < ctx.bandwidth / 2
        # d f / d theta = -(theta / eps) K, d H / d theta = -(1 / eps) K; times d theta / d log theta = theta.
        pull = torch.where(near, threshold * to_acts + to_counts[:, None], 0.0).sum(0)
        return torch.where(active, to_acts, 0.0), -pull * threshold / ctx.bandwidth, None


def jump(
    z: Float[Tensor, "n f"], log_threshold: Float[Tensor, " f"], bandwidth: float
) -> tuple[Float[Tensor, "n f"], Float[Tensor, " n"]]:
    """JumpReLU activations and the number of active features of each row, with straight-through gradients."""
    return _Jump.apply(z, log_threshold, bandwidth)  # pyright: ignore[reportReturnType]
