"""What the pages compute beyond the rooms: one pass over a prompt, and readings of it. No user interface."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from workbench.core import TextError

MAX_TOKENS = 2048  # as many as a page shows
HELD_TOKENS = 512  # the logits of a longer prompt would not fit the session's share of memory
MEASURES = {
    "surprise": "surprise, −log p of the token (nats)",
    "rank": "rank of the token among the predictions",
    "entropy": "entropy of the next token (nats)",
}


class LogitRows:
    """Logits [t v] of a long prompt, of which a row is read out of the last layer when it is asked for.

    Args:
        read: gives the logits of some positions. block: positions that are read at once.
    """

    def __init__(self, read: Callable[[slice], np.ndarray], count: int, block: int = 64) -> None:
        self._read, self._count, self._block = read, count, block

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: int) -> np.ndarray:
        at = range(self._count)[at]
        return self._read(slice(at, at + 1))[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, self._count, self._block):
            yield from self._read(slice(start, min(start + self._block, self._count)))


@dataclass(frozen=True)
class Pass:
    """One forward pass over a prompt: ids, texts and the logits [t v] at every position."""

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    special: tuple[bool, ...]
    logits: np.ndarray | LogitRows

    @property
    def id(self) -> str:
        """Names the pass within a session."""
        return hashlib.sha256(f"{self.ids}{self.logits[-1][:8].tobytes()}".encode()).hexdigest()[:10]


@dataclass(frozen=True)
class Reading:
    """Per position: how expected its token was (nan at position 0), and what is expected next."""

    surprise: np.ndarray
    rank: np.ndarray
    entropy: np.ndarray
    top_ids: np.ndarray
    top_probabilities: np.ndarray


def check_length(count: int, n_ctx: int, most: int = MAX_TOKENS, what: str = "this page") -> None:
    """Refuse prompts that the page, or a part of it, cannot hold.

    Raises:
        TextError: too many tokens for the model or for the page.
    """
    limit = min(n_ctx, most)
    if count > limit:
        raise TextError(f"{what} holds up to {limit} tokens", found=f"found {count}", hint="shorten the prompt")


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def read_pass(done: Pass, top: int = 5) -> Reading:
    """Measures of every position, row by row so that no second copy of the logits exists."""
    n = len(done.ids)
    surprise, rank = np.full(n, np.nan), np.full(n, np.nan)
    entropy, top_ids, top_probabilities = np.empty(n), np.empty((n, top), dtype=int), np.empty((n, top))
    for t, row in enumerate(done.logits):
        logs = log_softmax(row)
        chances = np.exp(logs)
        entropy[t] = -(chances * np.where(chances > 0, logs, 0)).sum()
        top_ids[t] = largest(logs, top)
        top_probabilities[t] = chances[top_ids[t]]
        if t + 1 < n:
            token = done.ids[t + 1]
            surprise[t + 1], rank[t + 1] = -logs[token], (logs > logs[token]).sum() + 1
    return Reading(surprise, rank, entropy, top_ids, top_probabilities)


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the largest values, largest first; ties by number."""
    count = min(count, len(values))
    some = np.flatnonzero(values >= np.partition(values, -count)[-count])
    return some[np.lexsort((some, -values[some]))][:count]


def reshape(logits: np.ndarray, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> np.ndarray:
    """Next-token probabilities [v] under sampling dials, from one row of logits.

    Temperature first, then the k most likely (0 keeps all), then the smallest set that reaches top_p; the rest
    get zero and what is kept is normalised.
    """
    chances = np.exp(log_softmax(logits.astype(np.float64) / max(temperature, 1e-6)))
    if 0 < top_k < len(chances):
        kept = np.zeros_like(chances)
        chosen = largest(chances, top_k)
        kept[chosen] = chances[chosen]
        chances = kept / kept.sum()
    if top_p < 1:
        order = np.argsort(-chances, kind="stable")
        count = int(np.searchsorted(np.cumsum(chances[order]), top_p)) + 1
        kept = np.zeros_like(chances)
        kept[order[:count]] = chances[order[:count]]
        chances = kept / kept.sum()
    return chances


def small_maps(patterns: np.ndarray, side: int = 48) -> np.ndarray:
    """Attention patterns [n t t] as uint8 [n s s]; above `side` positions each cell is the largest of its block."""
    n = patterns.shape[-1]
    if n > side:
        starts = np.linspace(0, n, side, endpoint=False).astype(int)
        patterns = np.maximum.reduceat(np.maximum.reduceat(patterns, starts, axis=-1), starts, axis=-2)
    return np.round(patterns * 255).clip(0, 255).astype(np.uint8)
