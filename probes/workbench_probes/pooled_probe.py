"""Probes that choose where to look: learned scores pool the positions, then a linear map or a small network reads."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.core import Progress, child, generator
from workbench.evaluation import EvaluateConfig, ratio
from workbench.training import ModuleConfig, fit_module

from .in_context_config import InContextConfig


class PooledProbes(nn.Module):
    """One probe a layer, trained together but sharing nothing (Akyürek et al. 2022, section 5)."""

    def __init__(self, layers: int, positions: int, width: int, outputs: int, hidden: int | None, seed: int) -> None:
        super().__init__()
        draw, inner = generator(seed, "pooled probes"), hidden or outputs
        self.scores = nn.Parameter(torch.zeros(layers, positions))
        self.into = nn.Parameter(torch.randn(layers, width, inner, generator=draw) * width**-0.5)
        self.shift = nn.Parameter(torch.zeros(layers, 1, inner))
        self.out = None
        if hidden:
            self.out = nn.Parameter(torch.randn(layers, inner, outputs, generator=draw) * inner**-0.5)
            self.bias = nn.Parameter(torch.zeros(layers, 1, outputs))

    def forward(self, hidden: Float[Tensor, "l b t w"]) -> Float[Tensor, "l b k"]:
        pooled = torch.einsum("lt,lbtw->lbw", self.scores.softmax(1), hidden)
        read = pooled @ self.into + self.shift
        return read if self.out is None else nn.functional.gelu(read) @ self.out + self.bias

    def loss(self, batch: tuple[Tensor, Tensor], share: float) -> Mapping[str, Tensor]:
        """Mean squared error, added up over the layers."""
        hidden, wanted = batch
        return {"loss": (self(hidden) - wanted).square().mean((1, 2)).sum()}


def pooled_probes(
    hidden: Float[Tensor, "l n t w"],
    target: Float[Tensor, "n k"],
    config: InContextConfig,
    network: bool = False,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """R^2 of each layer's probe on the last quarter of the contexts, with a 95 % interval over them.

    Hidden states and targets are standardised by the other contexts, on which the probes are trained.
    """
    layers, count, positions, width = hidden.shape
    fitted = count - count // 4
    hidden = _standardised(hidden, hidden[:, :fitted], (1, 2))
    target = _standardised(target, target[:fitted], (0,))
    probes = PooledProbes(
        layers, positions, width, target.shape[1], config.probe_hidden if network else None, config.seed
    )

    def draw(seed: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(fitted, (config.probe_batch,), generator=torch.Generator().manual_seed(seed))
        return hidden[:, chosen], target[chosen]

    settings = ModuleConfig(
        steps=config.probe_steps, lr=1e-2, warm_up=20, clip=None, seed=child(config.seed, "probes"),
        records_per_checkpoint=10_000,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        fit_module(probes, draw, Path(folder), settings, progress, name="probes")
    with torch.no_grad():
        missed = (probes(hidden[:, fitted:]) - target[fitted:]).square().sum(2).double().numpy()
    spread = (target[fitted:] - target[fitted:].mean(0)).square().sum(1).double().numpy()
    bootstrap = EvaluateConfig(bootstrap=config.bootstrap, seed=config.seed)
    rows = []
    for layer in range(layers):
        found = ratio(missed[layer], spread, bootstrap)
        rows.append({"layer": layer, "r2": 1 - found.value, "low": 1 - found.high, "high": 1 - found.low})
    return rows


def _standardised(values: Tensor, fitted: Tensor, over: tuple[int, ...]) -> Tensor:
    return (values - fitted.mean(over, keepdim=True)) / fitted.std(over, keepdim=True).clamp_min(1e-6)
