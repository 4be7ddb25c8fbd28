"""Learner: something trainable with its optimiser, its feed and its counters."""

import math
import time
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sparse_kernels import sparse_gradients
from workbench.core import Site, child

from .config import TrainConfig
from .errors import TrainingError
from .feed import Batch, Buffers, Feed
from .optimiser import clip_gradients_, make_optimiser
from .schedule import lr_factor

DEAD_AFTER_ROWS = 20_000
"""A feature is called dead in the metrics when it was not active in so many rows."""

_COUNTERS = ("step", "rows_seen", "rows_offered", "rows_dropped", "first_fvu")


@runtime_checkable
class Trainable(Protocol):
    """What the loop asks of a module; `loss` gives scalars of which the one called `loss` is optimised."""

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n d"]], /) -> dict[str, Tensor]: ...
    def before_step(self, sparsity: float, /) -> None: ...
    def after_backward(self) -> None: ...
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
        self.optimiser = make_optimiser(groups, config)

    def train_chunk(self, inputs: Mapping[Site, Float[Tensor, "n d"]], number: int, buffers: Buffers) -> dict[str, Any]:
        """Go through a chunk; returns the record of it for the metrics.

        Raises:
            TrainingError: the loss is no number, or FVU grew far beyond where it started.
        """
        began, seen, first = time.perf_counter(), self.rows_seen, self.step
        losses: list[tuple[int, dict[str, Tensor]]] = []
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
                self._update(batch, losses)
        sums = self._checked_sums(losses)
        return {
            "dictionary": self.name,
            "chunk": number,
            "step": self.step,
            **{key: value / max(self.step - first, 1) for key, value in sums.items()},
            **self._dead_share(),
            "dropped_share": self.dropped_share,
            "lr": self._lr(),
            "sparsity": self._sparsity(),
            "rows_per_second": (self.rows_seen - seen) / max(time.perf_counter() - began, 1e-9),
        }

    @property
    def dropped_share(self) -> float:
        """Share of the rows so far that were outliers and left out."""
        return self.rows_dropped / max(self.rows_offered, 1)

    @property
    def finished(self) -> bool:
        return self.step >= self.total_steps

    def counters(self) -> dict[str, Any]:
        """What a checkpoint keeps beside weights and averages."""
        return {name: getattr(self, name) for name in _COUNTERS}

    def go_on(self, counters: Mapping[str, Any]) -> None:
        """Stand where a checkpoint's counters say."""
        for name in _COUNTERS:
            setattr(self, name, counters[name])

    def _lr(self) -> float:
        return self.config.lr * lr_factor(self.step, self.total_steps, self.config.warm_up, self.config.decay_share)

    def _sparsity(self) -> float:
        """Share of the sparsity penalty in force: it rises linearly from 0 to 1."""
        return min(1.0, (self.step + 1) / max(self.config.sparsity_warm_up * self.total_steps, 1.0))

    def _update(self, batch: Batch, losses: list[tuple[int, dict[str, Tensor]]]) -> None:
        rows = len(next(iter(batch.values())))
        if rows:
            losses.append((self.step, self.optimise(batch)))
        self.step += 1
        self.rows_seen += rows

    def optimise(self, batch: Batch) -> dict[str, Tensor]:
        """One step on a batch in the units of training; the losses stay where they were computed."""
        self.module.before_step(self._sparsity())
        with sparse_gradients(self.config.optimiser == "row-sparse-adam"):
            losses = self.module.loss(batch)
        losses["loss"].backward()
        self.module.after_backward()
        lr = self._lr()
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["factor"]
        if self.config.clip is not None:
            clip_gradients_([parameter for _, parameter in self.module.named_parameters()], self.config.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.module.after_step()
        return {key: value.detach() for key, value in losses.items()}

    def _checked_sums(self, losses: list[tuple[int, dict[str, Tensor]]]) -> dict[str, float]:
        """The losses of a chunk added up. They are read here, at once: reading one stops a GPU until it is done."""
        if not losses:
            return {}
        flat = [value.float() for _, found in losses for value in found.values()]
        numbers = iter(torch.stack(flat).tolist())
        sums: dict[str, float] = {}
        for step, found in losses:
            read = {key: next(numbers) for key in found}
            self._check(read, step)
            for key, value in read.items():
                sums[key] = sums.get(key, 0.0) + value
        return sums

    def _check(self, found: Mapping[str, float], step: int) -> None:
        fvu = found.get("fvu", found["loss"])
        if self.first_fvu is None and math.isfinite(fvu):
            self.first_fvu = fvu
        limit = self.config.diverged_factor * max(self.first_fvu or 0.0, 0.1)
        if not math.isfinite(found["loss"]) or fvu > limit:
            raise TrainingError(
                f"training of {self.name} diverged at step {step}",
                found=f"loss {found['loss']:.4g}, FVU {fvu:.4g} (limit {limit:.4g})",
                hint="the last checkpoint is kept; try a lower lr, a longer warm-up or clipping",
            )

    def _dead_share(self) -> dict[str, float]:
        counters = dict(self.module.named_buffers()).get("rows_since_fired")
        if counters is None or not counters.numel() or not self.rows_seen:
            return {}
        window = min(self.rows_seen, DEAD_AFTER_ROWS)
        return {"dead_share": float((counters >= window).double().mean())}
