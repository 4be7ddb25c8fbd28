"""Mask training in the one loop: a learner of masks, its optimiser, and what makes a run stop or start again."""

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sparse_kernels import adam_
from workbench.core import Site
from workbench.models import TokenBatch
from workbench.training import LENGTHS, TOKENS, Feed, TrainingError

from .config import MaskConfig
from .masks import Masks
from .soft_cross_entropy import entropy, soft_cross_entropy
from .targets import Target, Wanted, trained_positions

_FLOOR_EVERY = 5
"""Steps of which one is compared with the target's entropy, which costs a pass over all its numbers."""
_WINDOW, _RISE, _FACTOR = 10, 0.25, 1.25


class MaskAdam(torch.optim.Optimizer):
    """Adam that moves each mask as soon as its gradient is complete, and drops the gradient: one at a time exists."""

    def __init__(self, masks: Masks, lr: float) -> None:
        super().__init__(list(masks.logits.values()), {"lr": lr})
        self.lr = lr
        for logits in masks.logits.values():
            logits.register_post_accumulate_grad_hook(self._move)

    @torch.no_grad()
    def _move(self, logits: Tensor) -> None:
        state = self.state[logits]
        if not state:
            state["step"] = torch.zeros((), device=logits.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(logits), torch.zeros_like(logits)
        assert logits.grad is not None
        adam_(logits, logits.grad, state["exp_avg"], state["exp_avg_sq"], state["step"], lr=self.lr)
        logits.grad = None

    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Nothing is left to do."""


class MaskLearner:
    """Trains Masks towards a target by continuous sparsification; see `MaskConfig`.

    The loss of a step is the cross-entropy against the target plus `penalty` times the mean of the soft mask. The base
    model never changes.
    """

    def __init__(self, name: str, masks: Masks, target: Target, config: MaskConfig) -> None:
        self.name, self.module, self.target, self.config = name, masks, target, config
        self.feed = Feed({}, {})
        self.step, self.tokens_seen, self.settled = 0, 0, False
        masks.penalty = config.penalty
        self.optimiser = MaskAdam(masks, config.lr)

    @property
    def finished(self) -> bool:
        return self.settled or self.step >= self.config.steps

    def train_chunk(self, inputs: Mapping[Site, Tensor], number: int, buffers: Any) -> dict[str, Any]:
        """Go through a chunk, step by step; returns the record of it.

        Raises:
            TrainingError: the loss is no number.
        """
        began, seen, losses, gaps = time.perf_counter(), self.tokens_seen, [], []
        device = self.module.model.device
        for rows in torch.arange(len(inputs[TOKENS])).split(self.config.batch_sequences):
            if self.finished:
                break
            ids, lengths = inputs[TOKENS][rows].to(device), inputs[LENGTHS][rows, 0].to(device)
            loss, wanted = self.optimise(TokenBatch(ids, lengths))
            losses.append(loss)
            if len(losses) % _FLOOR_EVERY == 1:
                gaps.append(loss - entropy(wanted))
            self.tokens_seen += int(lengths.sum())
        loss = math.fsum(losses) / max(len(losses), 1)
        if not math.isfinite(loss):
            raise TrainingError(
                f"mask training of {self.name} diverged before step {self.step}", f"loss {loss}", "try a lower lr"
            )
        decided = self.module.decided()
        self.settled = decided.undecided < self.config.settled * decided.sure
        return {
            "dictionary": self.name,
            "chunk": number,
            "step": self.step,
            "tokens": self.tokens_seen,
            "loss": loss,
            "divergence": math.fsum(gaps) / max(len(gaps), 1),
            "temperature": self.module.temperature,
            "kept_share": decided.kept / decided.total,
            "undecided_share": decided.undecided / decided.total,
            "tokens_per_second": (self.tokens_seen - seen) / max(time.perf_counter() - began, 1e-9),
        }

    def optimise(self, batch: TokenBatch) -> tuple[float, Wanted]:
        """One step; returns the cross-entropy against the target in nats, and the target."""
        masks, model = self.module, self.module.model
        masks.temperature, self.optimiser.lr = self.temperature(self.step), self.lr(self.step)
        where = trained_positions(batch, model.policy, getattr(model.tokenizer, "bos_id", None))
        wanted = self.target.wanted(batch, where)
        logits = masks.run(batch).logits
        assert logits is not None
        loss = soft_cross_entropy(logits, wanted, where)
        loss.backward()
        self.step += 1
        return float(loss.detach()), wanted

    def temperature(self, step: int) -> float:
        """T at a step counted from 0: 1 at the first, `temperature` at the last."""
        return self.config.temperature ** (step / max(self.config.steps - 1, 1))

    def lr(self, step: int) -> float:
        """The learning rate at a step counted from 0: `lr`, and falling to `cooled` of it over the cooldown."""
        late = step / max(self.config.steps - 1, 1) - (1 - self.config.cooldown)
        return self.config.lr * self.config.cooled ** (late / self.config.cooldown if late > 0 else 0)

    def counters(self) -> dict[str, Any]:
        return {"step": self.step, "tokens_seen": self.tokens_seen, "settled": self.settled}

    def go_on(self, counters: Mapping[str, Any]) -> None:
        self.step, self.tokens_seen, self.settled = counters["step"], counters["tokens_seen"], counters["settled"]
        self.module.temperature = self.temperature(max(self.step - 1, 0))


def spiked(losses: Sequence[float]) -> bool:
    """Whether a run's recorded losses rose suddenly and did not come back (Chang and Bergen 2025).

    A record is a spike if it is more than 0.25 or 25 % above the mean of the ten before it; the run has recovered if a
    record at least ten before the end is down at that mean's bound again and so is the last one.
    """
    for n in range(_WINDOW, len(losses)):
        before = math.fsum(losses[n - _WINDOW : n]) / _WINDOW
        bound = min(before + _RISE, before * _FACTOR)
        if losses[n] > bound:
            back = [m for m in range(n + 1, max(len(losses) - _WINDOW, n + 1)) if losses[m] <= bound]
            if not back or losses[-1] > bound:
                return True
    return False
