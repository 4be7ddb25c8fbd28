"""Feed: from a chunk of rows to batches in the units of training, without fresh memory at each step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Site, generator
from workbench.dictionaries import Scale

from .schedule import steps_in_chunk

Batch = dict[Site, Float[Tensor, "b _"]]


class Buffers:
    """Batches of every learner lie in the same memory; touching fresh memory costs more than the arithmetic."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, torch.dtype, torch.device], Tensor] = {}

    def take(self, slot: int, rows: int, like: Float[Tensor, "n d"]) -> Float[Tensor, "rows d"]:
        """Memory for `rows` rows like those of `like`; the next request for the slot overwrites it."""
        key = (slot, like.shape[1], like.dtype, like.device)
        kept = self._kept.get(key)
        if kept is None or kept.shape[0] < rows:
            kept = self._kept[key] = like.new_empty(rows, like.shape[1])
        return kept[:rows]


@dataclass(frozen=True)
class Feed:
    """What one learner takes from a chunk: its Sites, their units, and which rows are outliers.

    Attributes:
        scales: Site -> units of training.
        limits: Site -> largest norm of a row (raw units) that is trained on.
    """

    scales: Mapping[Site, Scale]
    limits: Mapping[Site, float]

    def kept(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Int[Tensor, " m"]:
        """The rows that are no outliers at any limited Site; a NaN is none, so that it breaks the loss, loudly."""
        rows = len(next(iter(inputs.values())))
        keep = torch.ones(rows, dtype=torch.bool, device=next(iter(inputs.values())).device)
        for site, limit in self.limits.items():
            keep &= ~(inputs[site].norm(dim=1) > limit)
        return keep.nonzero().flatten()

    def normalised(
        self, inputs: Mapping[Site, Float[Tensor, "n d"]], index: Int[Tensor, " m"], buffers: Buffers
    ) -> Batch:
        """The rows of `index` in the units of training; they live until the next call with these buffers."""
        batch: Batch = {}
        for slot, (site, scale) in enumerate(self.scales.items()):
            source = inputs[site]
            target = buffers.take(slot, len(index), source)
            batch[site] = scale.apply_(torch.index_select(source, 0, index, out=target))
        return batch

    def batches(
        self,
        inputs: Mapping[Site, Float[Tensor, "n d"]],
        kept: Int[Tensor, " m"],
        batch_rows: int,
        seed: int | None,
        buffers: Buffers,
    ) -> Iterator[Batch]:
        """The kept rows of a chunk, once, in equal batches near `batch_rows`; in another order if a seed is given.

        The batches are cut before outliers are dropped, so that every learner makes the same number of steps.
        """
        rows = next(iter(inputs.values())).shape[0]
        keep = torch.zeros(rows, dtype=torch.bool).index_fill_(0, kept.cpu(), True)
        order = torch.arange(rows) if seed is None else torch.randperm(rows, generator=generator(seed, "replay"))
        for part in order.tensor_split(steps_in_chunk(rows, batch_rows)):
            yield self.normalised(inputs, part[keep[part]].to(kept.device), buffers)
