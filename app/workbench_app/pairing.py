"""Two prompts side by side: which tokens stand at the same place, and how far the predictions differ. No interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from .analysis import largest, log_softmax


@dataclass(frozen=True)
class Pairing:
    """Positions of two texts that belong together, in rising order, and the texts of their tokens.

    Equal stretches belong together, and so do stretches of one length that stand between the same neighbours.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]

    def there(self, position: int) -> int | None:
        """The place in the second text of a position of the first."""
        return self.second[self.first.index(position)] if position in self.first else None

    def here(self, position: int) -> int | None:
        """The place in the first text of a position of the second."""
        return self.first[self.second.index(position)] if position in self.second else None


def pair(first: Sequence[str], second: Sequence[str]) -> Pairing:
    """Lay two texts beside each other, token by token."""
    if len(first) == len(second):
        return Pairing(tuple(range(len(first))), tuple(range(len(second))))
    here: list[int] = []
    there: list[int] = []
    for kind, a, b, c, d in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if kind == "equal" or (kind == "replace" and b - a == d - c):
            here += range(a, b)
            there += range(c, d)
    return Pairing(tuple(here), tuple(there))


@dataclass(frozen=True)
class Divergence:
    """How far two distributions over one vocabulary differ, in nats, and the tokens on which they do."""

    forward: float
    backward: float
    jensen_shannon: float
    tokens: tuple[int, ...]
    first: tuple[float, ...]
    second: tuple[float, ...]


def diverge(first: np.ndarray, second: np.ndarray, count: int = 20) -> Divergence:
    """Compare two rows of logits [v]: KL both ways, Jensen-Shannon, and the tokens whose probability moves most."""
    a, b = log_softmax(first.astype(np.float64)), log_softmax(second.astype(np.float64))
    p, q = np.exp(a), np.exp(b)
    middle = np.log(np.maximum((p + q) / 2, 1e-300))
    chosen = largest(np.abs(p - q), count)
    order = chosen[np.argsort(-np.abs(p - q)[chosen], kind="stable")]
    return Divergence(
        forward=_kl(p, a, b), backward=_kl(q, b, a), jensen_shannon=(_kl(p, a, middle) + _kl(q, b, middle)) / 2,
        tokens=tuple(order.tolist()), first=tuple(p[order].tolist()), second=tuple(q[order].tolist()),
    )  # fmt: skip


def _kl(p: np.ndarray, own: np.ndarray, other: np.ndarray) -> float:
    return max(0.0, float((p * np.where(p > 0, own - other, 0.0)).sum()))
