"""Token rows: sequences of tokens as the chunks of the training loop, from packed text or an endless stream."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import Site, generator
from workbench.data import PackedText
from workbench.store import Chunk

TOKENS, LENGTHS = Site("embed"), Site("logits")
"""Where a chunk holds its token ids [n, t] and the number of real ones in each row [n, 1]."""


def token_chunk(number: int, ids: Int[Tensor, "n t"], lengths: Int[Tensor, " n"], rows: Int[Tensor, " n"]) -> Chunk:
    """Sequences, padded on the right, as a chunk."""
    return Chunk(number, {TOKENS: ids.long(), LENGTHS: lengths.long()[:, None]}, rows)


class TokenRows:
    """A packed text, `passes` times, in another order each time; `chunk_sequences` of it make a chunk."""

    sites = (TOKENS, LENGTHS)

    def __init__(self, text: PackedText, chunk_sequences: int = 64, passes: int = 1, seed: int = 0) -> None:
        self.text, self.chunk_sequences, self.passes, self.seed = text, chunk_sequences, passes, seed
        self._per_pass = max(len(text) // chunk_sequences, 1)

    @property
    def total_rows(self) -> int:
        return self.n_chunks * min(self.chunk_sequences, len(self.text))

    @property
    def n_chunks(self) -> int:
        return self._per_pass * self.passes

    @property
    def ref(self) -> dict[str, Any]:
        return {"text": self.text.ref}

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "text": self.text.ref.hash,
            "chunk_sequences": self.chunk_sequences,
            "passes": self.passes,
            "seed": self.seed,
        }

    def chunk(self, number: int) -> Chunk:
        done, place = divmod(number, self._per_pass)
        order = torch.randperm(len(self.text), generator=generator(self.seed, "token rows", done))
        rows = order[place * self.chunk_sequences : (place + 1) * self.chunk_sequences]
        return token_chunk(number, self.text.ids[rows], self.text.lengths[rows], rows)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        return (self.chunk(number) for number in range(start, self.n_chunks))


@dataclass(frozen=True)
class StreamRows:
    """A stream without end, of which `n_chunks` are taken.

    Attributes:
        draw: the number of a chunk -> its token ids [chunk_sequences, t], a pure function.
        identity: JSON of everything that decides what `draw` gives.
    """

    draw: Callable[[int], Int[Tensor, "n t"]]
    chunk_sequences: int
    n_chunks: int
    identity: dict[str, Any]
    ref: dict[str, Any] = field(default_factory=dict)
    sites = (TOKENS, LENGTHS)

    @property
    def total_rows(self) -> int:
        return self.n_chunks * self.chunk_sequences

    def chunk(self, number: int) -> Chunk:
        ids = self.draw(number)
        lengths = torch.full(ids.shape[:1], ids.shape[1])
        return token_chunk(number, ids, lengths, torch.arange(len(ids)) + number * self.chunk_sequences)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        return (self.chunk(number) for number in range(start, self.n_chunks))
