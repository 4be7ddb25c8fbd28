"""Tasks as data: prompts with right and wrong next tokens, and how a kind of them is registered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import ConfigError
from .registry import register

METRICS = ("logit difference", "probability difference")


@dataclass(frozen=True)
class PromptPair:
    """A prompt with the next token that is right (target) and one that is wrong (foil), and its corrupted twin.

    Attributes:
        target, foil: with their leading space, each one token.
        corrupted: the prompt without what decides the answer, as many tokens long; "" where there is none.
        targets, foils: every right and every wrong answer, where one of each is not enough.
    """

    prompt: str
    target: str
    foil: str
    note: str = ""
    corrupted: str = ""
    targets: tuple[str, ...] = ()
    foils: tuple[str, ...] = ()

    @property
    def right(self) -> tuple[str, ...]:
        """Every right answer."""
        return self.targets or (self.target,)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Every wrong answer that counts."""
        return self.foils or (self.foil,)


TaskMaker = Callable[[Any, int, int], Sequence[PromptPair]]
"""(tokenizer, number of prompts, seed) -> prompts whose answers are single tokens of that tokenizer."""


@dataclass(frozen=True)
class KnownTask:
    """A registered kind of prompts: how they are made, and what measures the answer at the last position.

    Attributes:
        metric: `logit difference` (mean logit of the right answers minus mean of the wrong ones) or
            `probability difference` (summed probability of the right ones minus that of the wrong ones).
        about: one line for lists.
    """

    name: str
    make: TaskMaker
    metric: str
    about: str


def register_task(name: str, about: str, metric: str = METRICS[0]) -> Callable[[TaskMaker], TaskMaker]:
    """Decorator: make a function known as the task `name`."""
    if metric not in METRICS:
        raise ConfigError(f"unknown metric {metric!r}", hint=f"metrics: {', '.join(METRICS)}")

    def add(make: TaskMaker) -> TaskMaker:
        register("task", name)(KnownTask(name, make, metric, about))
        return make

    return add
