"""RowOrder: which rows stand in which chunk; arithmetic on lengths and a mask, no activations."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.core import generator

from .text_index import row_offsets


@dataclass(frozen=True)
class RowOrder:
    """Seeded order of the kept rows of some sequences: sequences shuffled per pass, rows inside each chunk.

    lengths: tokens of every sequence. keep: for all rows, sequence after sequence, whether the row counts.
    """

    lengths: Int[Tensor, " s"]
    keep: Bool[Tensor, " n"]
    seed: int

    @cached_property
    def offsets(self) -> Int[Tensor, " s1"]:
        return row_offsets(self.lengths)

    @cached_property
    def counts(self) -> Int[Tensor, " s"]:
        """Kept rows of every sequence."""
        before = torch.zeros(len(self.keep) + 1, dtype=torch.int32)
        torch.cumsum(self.keep, 0, dtype=torch.int32, out=before[1:])
        return before[self.offsets].long().diff()

    @cached_property
    def total(self) -> int:
        return int(self.keep.sum())

    def sequences(self, number: int) -> Int[Tensor, " s"]:
        """The order of the sequences in a pass."""
        return torch.randperm(len(self.lengths), generator=generator(self.seed, "sequences", number))

    def rows_of(self, sequences: Int[Tensor, " s"]) -> Int[Tensor, " n"]:
        """The kept rows of some sequences, in the order given."""
        first, size = self.offsets[sequences], self.lengths[sequences].long()
        inside = torch.arange(int(size.sum())) - torch.repeat_interleave(size.cumsum(0) - size, size)
        rows = torch.repeat_interleave(first, size) + inside
        return rows[self.keep[rows]]

    def shuffled(self, rows: Int[Tensor, " n"], number: int) -> Int[Tensor, " n"]:
        """The rows of a chunk in the order in which the chunk offers them."""
        return rows[torch.randperm(len(rows), generator=generator(self.seed, "rows", number))]

    def slice_of_pass(self, number: int, first: int, stop: int) -> Int[Tensor, " n"]:
        """Kept rows `first` to `stop` of a pass, counted along its order of sequences."""
        order = self.sequences(number)
        ends = self.counts[order].cumsum(0)
        start, end = torch.searchsorted(ends, torch.tensor([first, stop - 1]), right=True).tolist()
        before = int(ends[start - 1]) if start else 0
        return self.rows_of(order[start : end + 1])[first - before : stop - before]

    def identity(self) -> str:
        """A fingerprint of lengths, mask and seed."""
        digest = hashlib.sha256(f"{self.seed}/{len(self.lengths)}/".encode())
        for tensor in (self.lengths.int(), self.keep):
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()
