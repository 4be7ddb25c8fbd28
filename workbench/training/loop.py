"""The only training loop: rows in, many learners trained in one pass, a call back at every chunk border."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from workbench.core import Interruptible, Progress, Site
from workbench.store import Rows

from .feed import Buffers


@runtime_checkable
class Learns(Protocol):
    """What the loop asks of a learner; `train_chunk` returns the record of the chunk."""

    @property
    def finished(self) -> bool: ...
    def train_chunk(self, inputs: Mapping[Site, Tensor], number: int, buffers: Buffers, /) -> dict[str, Any]: ...


AtBorder = Callable[[int, list[dict[str, Any]]], None]


def train(
    learners: Sequence[Learns], rows: Rows, start: int, at_border: AtBorder, progress: Progress
) -> tuple[int, bool]:
    """Train from chunk `start` on until the rows or the learners' schedules end, or somebody cancels.

    `at_border(next_chunk, records)` is called after every chunk with the learners' records of it; only there
    is the state one from which training can go on exactly. A cancel takes effect there, too.

    Returns:
        The number of the next chunk, and whether the work was cut short.
    """
    buffers, number = Buffers(), start
    progress.phase("train", total=rows.total_rows, unit="rows")
    progress.advance(rows.total_rows * start / max(rows.n_chunks, 1))
    if all(learner.finished for learner in learners):
        return number, False
    with Interruptible() as interruptible:
        for chunk in rows.chunks(start):
            records = []
            for learner in learners:
                records.append(learner.train_chunk(chunk.inputs, chunk.number, buffers))
                progress.advance(len(chunk) / len(learners))
            number = chunk.number + 1
            at_border(number, records)
            if all(learner.finished for learner in learners):
                return number, False
            if interruptible.cancelled() or progress.cancelled():
                return number, number < rows.n_chunks
    return number, False
