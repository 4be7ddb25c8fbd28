"""The optimisers of the loop, and clipping that knows sparse gradients."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from sparse_kernels import adam_, gradient_rows, row_sparse_adam_

from .config import TrainConfig


def make_optimiser(groups: list[dict[str, Any]], config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that the settings name."""
    if config.optimiser == "row-sparse-adam":
        return RowSparseAdam(groups, lr=config.lr, betas=config.betas)
    return torch.optim.Adam(groups, lr=config.lr, betas=config.betas, fused=True)


class RowSparseAdam(torch.optim.Optimizer):
    """Adam that moves only the rows a batch touched, where the gradient is sparse; plain Adam where it is dense.

    A feature that was not active rests: no decay of its moments, no coasting on its momentum, and a bias correction
    by its own count of steps (`sparse_kernels.row_sparse_adam_` has the formula). The cost of a step follows the
    features that were active, not the size of the dictionary.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step for every parameter that has a gradient; a gradient must stay sparse, or stay dense."""
        for group in self.param_groups:
            rates = {"lr": group["lr"], "betas": group["betas"], "eps": group["eps"]}
            for weight in group["params"]:
                if weight.grad is not None:
                    self._step(weight, weight.grad, rates)

    def _step(self, weight: Tensor, gradient: Tensor, rates: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            rows = weight.shape[:1] if gradient.is_sparse else ()
            dtype = torch.int32 if gradient.is_sparse else torch.float32
            state["step"] = torch.zeros(rows, dtype=dtype, device=weight.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
        moments = state["exp_avg"], state["exp_avg_sq"]
        if gradient.is_sparse:
            row_sparse_adam_(*gradient_rows(gradient), weight, *moments, state["step"], **rates)
        else:
            adam_(weight, gradient, *moments, state["step"], **rates)


@torch.no_grad()
def clip_gradients_(parameters: Iterable[Tensor], limit: float) -> None:
    """Scale all gradients together so that their common norm is at most `limit`."""
    values = []
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            rows, found = gradient_rows(parameter.grad)
            parameter.grad = torch.sparse_coo_tensor(
                rows[None], found, parameter.shape, is_coalesced=True, check_invariants=False
            )
            values.append(found)
        elif parameter.grad is not None:
            values.append(parameter.grad)
    if not values:
        return
    norm = torch.stack([value.norm() for value in values]).norm()
    scale = (limit / (norm + 1e-6)).clamp_max(1.0)
    for value in values:
        value.mul_(scale)
