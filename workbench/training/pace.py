"""Pace: when the next checkpoint is due, by chunks and by what the last one cost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Pace:
    """Checkpoints every so many chunks, put off while they would take more than a share of the time.

    Args:
        every: chunks between two checkpoints at least.
        share: of the time, that writing may take; None: any.
        written: the chunk at which the newest checkpoint goes on.
    """

    def __init__(self, every: int, share: float | None, written: int) -> None:
        self.every, self.share, self.written = every, share, written
        self._cost, self._last = 0.0, time.monotonic()

    def due(self, next_chunk: int) -> bool:
        """Whether a checkpoint that goes on at this chunk should be written now."""
        if next_chunk - self.written < self.every:
            return False
        return self.share is None or (time.monotonic() - self._last) * self.share >= self._cost

    @contextmanager
    def writing(self, next_chunk: int) -> Iterator[None]:
        """Around the writing of one; a failed one does not count."""
        began = time.monotonic()
        yield
        self.written, self._last = next_chunk, time.monotonic()
        self._cost = self._last - began
