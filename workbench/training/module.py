"""Small modules that need no hooks, in the one training loop: batches are drawn as the training goes."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from workbench.core import Progress, Site, child
from workbench.store import Chunk

from .errors import TrainingError
from .feed import Buffers, Feed
from .fit_language import fit_tokens
from .module_config import ModuleConfig
from .optimiser import clip_gradients_
from .schedule import lr_factor

Draw = Callable[[int], Any]
"""The seed of a step -> its batch, a pure function."""
_NUMBER = Site("embed")


@dataclass(frozen=True)
class TrainedModule:
    """The record of every stretch of steps, and whether the run was cut short; the module is trained in place."""

    folder: Path
    metrics: list[dict[str, Any]]
    partial: bool


def fit_module(
    module: nn.Module,
    draw: Draw,
    folder: Path,
    config: ModuleConfig | None = None,
    progress: Progress | None = None,
    *,
    name: str = "module",
    identity: Mapping[str, Any] | None = None,
) -> TrainedModule:
    """Train a module in place, or go on where the folder's checkpoint stands.

    Args:
        module: its `loss(batch, share)` gives scalars, of which `loss` is optimised; `share` says how much of the
            training is done, for what is annealed.
        identity: JSON of what decides the outcome beside `config`; a folder with another one is refused.

    Raises:
        ConfigError: the folder belongs to another run. TrainingError: the loss is no number.
    """
    config = config or ModuleConfig()
    settings = config.model_dump(mode="json", exclude={"records_per_checkpoint"})
    told = json.loads(json.dumps({"settings": settings, **dict(identity or {})}))
    learner = ModuleLearner(name, module, draw, config)
    every = config.records_per_checkpoint
    metrics, partial = fit_tokens(learner, _Steps(config), Path(folder), told, every, progress)
    return TrainedModule(Path(folder), metrics, partial)


class ModuleLearner:
    """Trains one module; a chunk of the loop is `steps_per_record` steps."""

    def __init__(self, name: str, module: nn.Module, draw: Draw, config: ModuleConfig) -> None:
        self.name, self.module, self.draw, self.config = name, module, draw, config
        self.feed, self.step = Feed({}, {}), 0
        trained = [weight for weight in module.parameters() if weight.requires_grad]
        self.optimiser: torch.optim.Optimizer = torch.optim.Adam(trained, lr=config.lr, betas=config.betas, fused=True)

    @property
    def finished(self) -> bool:
        return self.step >= self.config.steps

    def train_chunk(self, inputs: Mapping[Site, Tensor], number: int, buffers: Buffers) -> dict[str, Any]:
        """A stretch of steps; returns the means of its losses.

        Raises:
            TrainingError: the loss is no number.
        """
        began, sums = time.perf_counter(), {}
        steps = min(len(inputs[_NUMBER]), self.config.steps - self.step)
        for _ in range(steps):
            for key, value in self.optimise().items():
                sums[key] = sums.get(key, 0.0) + float(value.detach()) / steps
        if not math.isfinite(sums["loss"]):
            raise TrainingError(
                f"training of {self.name} diverged before step {self.step}",
                found=f"loss {sums['loss']}",
                hint="the last checkpoint is kept; try a lower lr or a longer warm-up",
            )
        pace = steps / max(time.perf_counter() - began, 1e-9)
        return {"dictionary": self.name, "chunk": number, "step": self.step, **sums, "steps_per_second": pace}

    def optimise(self) -> Mapping[str, Tensor]:
        """One step on the next batch."""
        config = self.config
        batch = self.draw(child(config.seed, "batch", self.step))
        with torch.random.fork_rng(devices=[]):  # what a module samples inside is the same after going on
            torch.random.default_generator.manual_seed(child(config.seed, "noise", self.step))
            losses = self.module.loss(batch, self.step / config.steps)  # pyright: ignore[reportCallIssue]
        losses["loss"].backward()
        for group in self.optimiser.param_groups:
            group["lr"] = config.lr * lr_factor(self.step, config.steps, config.warm_up, config.decay_share)
        if config.clip is not None:
            clip_gradients_(self.module.parameters(), config.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return losses

    def counters(self) -> dict[str, Any]:
        """What a checkpoint keeps beside weights and averages."""
        return {"step": self.step}

    def go_on(self, counters: Mapping[str, Any]) -> None:
        """Stand where a checkpoint's counters say."""
        self.step = counters["step"]


@dataclass(frozen=True)
class _Steps:
    """The numbers of the steps as the rows of the loop."""

    config: ModuleConfig
    sites = (_NUMBER,)

    @property
    def n_chunks(self) -> int:
        return -(-self.config.steps // self.config.steps_per_record)

    @property
    def total_rows(self) -> int:
        return self.config.steps

    @property
    def ref(self) -> dict[str, Any]:
        return {}

    @property
    def identity(self) -> dict[str, Any]:
        return {"steps": self.config.steps}

    def chunk(self, number: int) -> Chunk:
        first = number * self.config.steps_per_record
        rows = torch.arange(first, min(first + self.config.steps_per_record, self.config.steps))
        return Chunk(number, {_NUMBER: rows[:, None].float()}, rows)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        return (self.chunk(number) for number in range(start, self.n_chunks))
