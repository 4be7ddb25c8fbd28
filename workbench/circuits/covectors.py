"""Covectors of many targets on their way down, packed so that the large products are one each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.models import FrozenAttention


class Scratch:
    """Memory that is used again and again: touching fresh pages costs as much as a third of a product."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """A tensor of this shape with anything in it, until the same name is taken again."""
        wanted = prod(shape)
        if name not in self._held or len(self._held[name]) < wanted:
            self._held[name] = self._like.new_empty(wanted)
        return self._held[name][:wanted].view(shape)


@dataclass(frozen=True)
class Group:
    """The covectors of targets at one position: a view [position + 1, n, d]; nothing reaches them from beyond."""

    position: int
    rows: Float[Tensor, "t n d"]


class Covectors:
    """One group of targets for each position, group after group in one matrix `rows` [r, d].

    New targets come to the end of their position's group. Only one of these may use a Scratch at a time.
    """

    def __init__(self, scratch: Scratch, width: int) -> None:
        self._scratch, self._turn = scratch, 0
        self.rows = scratch.take("rows 0", 0, width)
        self._counts: dict[int, int] = {}
        self._places = torch.zeros(0, dtype=torch.long, device=self.rows.device)

    def groups(self) -> Iterator[Group]:
        """The groups, in order of position."""
        for position, rows in self._split(self.rows):
            yield Group(position, rows)

    def join(self, new: Mapping[int, Float[Tensor, "t n d"]]) -> None:
        """Add targets: position -> covectors [position + 1, n, d]."""
        old = dict(self._split(self.rows))
        counts = {p: self._counts.get(p, 0) + (new[p].shape[1] if p in new else 0) for p in sorted({*old, *new})}
        self._turn = 1 - self._turn
        size = sum((p + 1) * n for p, n in counts.items())
        joined = self._scratch.take(f"rows {self._turn}", size, self.rows.shape[1])
        self._counts = counts
        for position, rows in self._split(joined):
            before = old[position].shape[1] if position in old else 0
            if before:
                rows[:, :before] = old[position]
            if position in new:
                rows[:, before:] = new[position]
        self.rows = joined
        ranges = [torch.arange(p + 1, device=joined.device).repeat_interleave(n) for p, n in counts.items()]
        self._places = torch.cat(ranges)

    def add_product(self, matrix: Float[Tensor, "d d"], gain: Float[Tensor, " t"]) -> None:
        """Add every row times a matrix, times the gain of its position."""
        product = torch.mm(self.rows, matrix, out=self._scratch.take("product", len(self.rows), matrix.shape[1]))
        self.rows.addcmul_(product, gain[self._places][:, None])

    def add_attention(self, attention: FrozenAttention) -> None:
        """Add what reaches the residual stream before a layer's attention through it."""
        self.rows.addmm_(self._mixed(attention), attention.value)

    def attended(self, attention: FrozenAttention) -> Float[Tensor, "r d"]:
        """What `add_attention` would add."""
        return self._mixed(attention) @ attention.value

    def _mixed(self, attention: FrozenAttention) -> Float[Tensor, "r kv_e"]:
        rows, output = len(self.rows), attention.output
        by_head = torch.mm(self.rows, output, out=self._scratch.take("product", rows, output.shape[1]))
        mixed = self._scratch.take("mixed", rows, len(attention.value))
        for (_, target), (_, source) in zip(self._split(mixed), self._split(by_head), strict=True):
            target.copy_(attention.mix_back(source))
        return mixed

    def _split(self, rows: Float[Tensor, "r m"]) -> Iterator[tuple[int, Float[Tensor, "t n m"]]]:
        first = 0
        for position, count in self._counts.items():
            size = (position + 1) * count
            yield position, rows[first : first + size].view(position + 1, count, rows.shape[1])
            first += size
