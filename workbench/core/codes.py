"""Codes: sparse rows (index, value), the currency between encoder and decoder."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .errors import ShapeError


@dataclass(frozen=True)
class Codes:
    """Sparse activations of n rows over `width` features.

    Padded (`offsets` None): index [n, k] and value [n, k]; unused places hold value 0 and decode to nothing.
    Ragged: index [m] and value [m] with `offsets` [n + 1], for gates that do not bound L0.
    """

    index: Int[Tensor, "..."]
    value: Float[Tensor, "..."]
    width: int
    offsets: Int[Tensor, " n1"] | None = None

    def __post_init__(self) -> None:
        dims = 2 if self.offsets is None else 1
        if self.index.shape != self.value.shape or self.index.ndim != dims:
            raise ShapeError(
                f"codes want index and value of one shape with {dims} axes",
                found=f"found {tuple(self.index.shape)} and {tuple(self.value.shape)}",
            )

    def __len__(self) -> int:
        return self.index.shape[0] if self.offsets is None else self.offsets.shape[0] - 1

    @property
    def k(self) -> int:
        """Places per row; for ragged codes the longest row."""
        if self.offsets is None:
            return self.index.shape[1]
        return int(self.offsets.diff().max()) if len(self) else 0

    def row_ids(self) -> Int[Tensor, "..."]:
        """The row of every entry, in the shape of `index`."""
        if self.offsets is None:
            return torch.arange(len(self), device=self.index.device)[:, None].expand_as(self.index)
        return torch.repeat_interleave(torch.arange(len(self), device=self.index.device), self.offsets.diff())

    def dense(self) -> Float[Tensor, "n f"]:
        """A dense copy; duplicate indices in one row add up, as they do in decoding."""
        out = self.value.new_zeros(len(self), self.width)
        return out.index_put((self.row_ids().long(), self.index.long()), self.value, accumulate=True)

    def l0(self) -> Int[Tensor, " n"]:
        """Number of non-zero values per row."""
        counts = torch.zeros(len(self), dtype=torch.long, device=self.index.device)
        return counts.index_add(0, self.row_ids().flatten(), (self.value != 0).long().flatten())

    def padded(self) -> "Codes":
        """The same codes as padded rows (itself when padded already)."""
        if self.offsets is None:
            return self
        place = torch.arange(self.index.shape[0], device=self.index.device)
        place = place - torch.repeat_interleave(self.offsets[:-1], self.offsets.diff())
        rows, shape = self.row_ids(), (len(self), self.k)
        index = self.index.new_zeros(shape).index_put((rows, place), self.index)
        value = self.value.new_zeros(shape).index_put((rows, place), self.value)
        return Codes(index, value, self.width)

    def map_values(self, function: Callable[[Tensor, Tensor], Tensor]) -> "Codes":
        """New codes with `value = function(index, value)`; the active set is kept."""
        return replace(self, value=function(self.index, self.value))
