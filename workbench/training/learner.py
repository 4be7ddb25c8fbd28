"""Learner: something trainable with its optimiser, its feed and its counters."""

import math
import time
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Site, child

from .config import TrainConfig
from .errors import TrainingError
from .feed import Batch, Buffers, Feed
from .schedule import lr_factor

DEAD_AFTER_ROWS = 20_000
"""A feature is called dead in the metrics when it was not active in so many rows."""


@runtime_checkable
class Trainable(Protocol):
    """What the loop asks of a module; `loss` gives scalars of which the one called `loss` is optimised."""

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n d"]], /) -> dict[str, Tensor]: ...
    def after_step(self) -> None: ...
    def parameter_groups(self) -> list[dict[str, Any]]: ...
    def named_parameters(self) -> Any: ...
    def named_buffers(self) -> Any: ...


class Learner:
    """Trains one module batch by batch.

    Args:
        name: what metrics and checkpoints call it.
        total_steps: the length of the schedule.
    """

    def __init__(self, name: str, module: Trainable, feed: Feed, config: TrainConfig, total_steps: int) -> None:
        self.name, self.module, self.feed, self.config = name, module, feed, config
        self.total_steps = total_steps
        self.step, self.rows_seen, self.rows_offered, self.rows_dropped = 0, 0, 0, 0
        self.first_fvu: float | None = None
        factors = {"skip": config.skip_lr_factor}
        groups = [
            {"params": group["params"], "factor": factors.get(group["role"], 1.0)}
            for group in module.parameter_groups()
        ]
        self.optimiser = torch.optim.Adam(groups, lr=config.lr, betas=config.betas, fused=True)

    def train_chunk(self, inputs: Mapping[Site, Float[Tensor, "n d"]], number: int, buffers: Buffers) -> dict[str, Any]:
        """Go through a chunk; returns the record of it for the metrics.

        Raises:
            TrainingError: the loss is no number, or FVU grew far beyond where it started.
        """
        began, seen, steps = time.perf_counter(), self.rows_seen, 0
        sums: dict[str, float] = {}
        weights = next(parameter for _, parameter in self.module.named_parameters())
        inputs = {site: inputs[site].to(weights) for site in self.feed.scales}
        kept = self.feed.kept(inputs)
        rows = next(iter(inputs.values())).shape[0]
        self.rows_offered += rows
        self.rows_dropped += rows - len(kept)
        for replay in range(self.config.replays):
            seed = child(self.config.seed, "replay", number, replay) if replay else None
            for batch in self.feed.batches(inputs, kept, self.config.batch_rows, seed, buffers):
                if self.step >= self.total_steps:
                    break
                for key, value in self._update(batch).items():
                    sums[key] = sums.get(key, 0.0) + value
                steps += 1
        return {
            "dictionary": self.name,
            "chunk": number,
            "step": self.step,
            **{key: value / max(steps, 1) for key, value in sums.items()},
            **self._dead_share(),
            "dropped_share": self.dropped_share,
            "lr": self._lr(),
            "rows_per_second": (self.rows_seen - seen) / max(time.perf_counter() - began, 1e-9),
        }

    @property
    def dropped_share(self) -> float:
        """Share of the rows so far that were outliers and left out."""
        return self.rows_dropped / max(self.rows_offered, 1)

    @property
    def finished(self) -> bool:
        return self.step >= self.total_steps

    def _lr(self) -> float:
        return self.config.lr * lr_factor(self.step, self.total_steps, self.config.warm_up, self.config.decay_share)

    def _update(self, batch: Batch) -> dict[str, float]:
        rows = len(next(iter(batch.values())))
        found = self._optimise(batch) if rows else {}
        self.step += 1
        self.rows_seen += rows
        return found

    def _optimise(self, batch: Batch) -> dict[str, float]:
        losses = self.module.loss(batch)
        found = {key: float(value.detach()) for key, value in losses.items()}
        self._check(found)
        losses["loss"].backward()
        lr = self._lr()
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["factor"]
        if self.config.clip is not None:
            torch.nn.utils.clip_grad_norm_([p for _, p in self.module.named_parameters()], self.config.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.module.after_step()
        return found

    def _check(self, found: Mapping[str, float]) -> None:
        fvu = found.get("fvu", found["loss"])
        if self.first_fvu is None and math.isfinite(fvu):
            self.first_fvu = fvu
        limit = self.config.diverged_factor * max(self.first_fvu or 0.0, 0.1)
        if not math.isfinite(found["loss"]) or fvu > limit:
            raise TrainingError(
                f"training of {self.name} diverged at step {self.step}",
                found=f"loss {found['loss']:.4g}, FVU {fvu:.4g} (limit {limit:.4g})",
                hint="the last checkpoint is kept; try a lower lr, a longer warm-up or clipping",
            )

    def _dead_share(self) -> dict[str, float]:
        counters = dict(self.module.named_buffers()).get("rows_since_fired")
        if counters is None or not counters.numel() or not self.rows_seen:
            return {}
        window = min(self.rows_seen, DEAD_AFTER_ROWS)
        return {"dead_share": float((counters >= window).double().mean())}
