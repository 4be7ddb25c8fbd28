"""Running statistics of every feature of a dictionary over codes that stream by; memory does not grow with the text."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

BINS = 64
"""Bins of the histograms of activations: half octaves of the absolute value, the first from 2^-16."""


def bin_edges() -> Float[Tensor, " bins1"]:
    """Borders of the histogram's bins; what lies beyond falls into the first and the last."""
    return 2.0 ** (torch.arange(BINS + 1) / 2 - 16)


class Best:
    """For every feature the entries with the largest keys met so far: where they were and what they were."""

    def __init__(self, width: int, count: int) -> None:
        self.key = torch.full((width, count), -torch.inf)
        self.place = torch.zeros(width, count, dtype=torch.int32)
        self.value = torch.zeros(width, count)

    def add(
        self, feature: Int[Tensor, " m"], key: Float[Tensor, " m"], place: Int[Tensor, " m"], value: Float[Tensor, " m"]
    ) -> None:
        """Take in some entries; ties go to the earlier one."""
        count = self.key.shape[1]
        if not count:
            return
        hopeful = key > self.key[feature, -1]
        feature, key, place, value = feature[hopeful], key[hopeful], place[hopeful], value[hopeful]
        order = torch.argsort(key, descending=True, stable=True)
        order = order[torch.argsort(feature[order], stable=True)]
        touched, many = torch.unique_consecutive(feature[order], return_counts=True)
        row = torch.repeat_interleave(torch.arange(len(touched)), many)
        rank = torch.arange(len(order)) - (many.cumsum(0) - many)[row]
        order, row, rank = order[rank < count], row[rank < count], rank[rank < count]
        keys = torch.full((len(touched), count), -torch.inf).index_put((row, rank), key[order])
        places = torch.zeros(len(touched), count, dtype=torch.int32).index_put((row, rank), place[order].int())
        values = torch.zeros(len(touched), count).index_put((row, rank), value[order])
        both = torch.cat([self.key[touched], keys], 1).sort(dim=1, descending=True, stable=True)
        chosen = both.indices[:, :count]
        self.key[touched] = both.values[:, :count]
        self.place[touched] = torch.cat([self.place[touched], places], 1).gather(1, chosen)
        self.value[touched] = torch.cat([self.value[touched], values], 1).gather(1, chosen)

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Places and values; a value of 0 marks an entry that does not exist."""
        return {f"{name}_place": self.place, f"{name}_value": torch.where(self.key.isfinite(), self.value, 0.0)}


class Tally:
    """Counts, sums, a histogram, and top, random and near-miss examples of every feature.

    Args:
        length: tokens in a sequence, padding included: a place is sequence * length + position.
    """

    def __init__(self, width: int, length: int, top: int, samples: int, near: int, seed: int) -> None:
        self.width, self.length, self.seed = width, length, seed
        self.count = torch.zeros(width, dtype=torch.long)
        self.square = torch.zeros(width, dtype=torch.float64)
        self.histogram = torch.zeros(width * BINS, dtype=torch.long)
        self.top, self.random, self.near = Best(width, top), Best(width, samples), Best(width, near)

    def add(self, index: Int[Tensor, "b t k"], value: Float[Tensor, "b t k"], first: int) -> None:
        """Take in the codes of whole sequences, the first of which is number `first`; value 0: not active."""
        k = index.shape[2]
        alive = value.flatten() != 0
        feature, values = index.flatten()[alive].long(), value.flatten()[alive].float()
        place = torch.arange(index.shape[0] * index.shape[1]).repeat_interleave(k)[alive] + first * self.length
        size = values.abs()
        self.count += torch.bincount(feature, minlength=self.width)
        self.square += torch.bincount(feature, weights=values.double().square(), minlength=self.width)
        bins = (2 * (size.log2() + 16)).floor().clamp(0, BINS - 1).long()
        self.histogram += torch.bincount(feature * BINS + bins, minlength=len(self.histogram))
        self.random.add(feature, lottery(place, feature, self.seed), place, values)
        order = torch.argsort(size, descending=True, stable=True)
        # one example a sequence: the largest of each feature in each
        pair = feature[order] * (int(place.max()) // self.length + 1 if len(place) else 1) + place[order] // self.length
        order = order[first_of_each(pair)]
        self.top.add(feature[order], size[order], place[order], values[order])

    def add_silent(self, pre: Float[Tensor, "n f"], index: Tensor, value: Tensor, keep: Bool[Tensor, " n"], first: int):
        """Take in pre-activations of the same tokens: of every feature the largest where it is not active."""
        if not len(pre) or not self.near.key.shape[1]:
            return
        pre = pre.float().cpu().clone()
        # a code may stand in a row twice, once active: a silent place of the same feature must not undo it
        active = torch.zeros(pre.shape, dtype=torch.bool)
        rows = torch.arange(len(pre))[:, None].expand_as(index)
        active[rows[value != 0], index[value != 0].long()] = True
        pre.masked_fill_(active | ~keep[:, None], -torch.inf)
        best = pre.max(0)
        there = best.values.isfinite()
        feature = there.nonzero()[:, 0]
        place = best.indices[there] + first * self.length
        self.near.add(feature, best.values[there], place, best.values[there])

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Everything by name, for one member of a set."""
        made: dict[str, Any] = {
            "count": self.count.to(torch.int32),
            "square": self.square,
            "histogram": self.histogram.view(self.width, BINS).to(torch.int32),
        }
        made |= self.top.tensors("top") | self.random.tensors("random") | self.near.tensors("near")
        return {f"{key}.{name}": tensor for key, tensor in made.items()}


def lottery(place: Int[Tensor, " m"], feature: Int[Tensor, " m"], seed: int) -> Float[Tensor, " m"]:
    """A number in [0, 1) drawn for each (place, feature): the same whatever the batches (splitmix64's finaliser)."""
    mixed = place.long() * -7046029254386353131 + feature.long() * -4658895280553007687 + (seed & (2**62 - 1))
    for shift, factor in ((30, -4658895280553007687), (27, -7723592293110705685)):
        mixed = (mixed ^ ((mixed >> shift) & ((1 << (64 - shift)) - 1))) * factor
    mixed = mixed ^ ((mixed >> 31) & ((1 << 33) - 1))
    return ((mixed >> 40) & ((1 << 24) - 1)).float() / (1 << 24)


def first_of_each(values: Tensor) -> Tensor:
    """Places of the first occurrence of every value, in order."""
    order = torch.argsort(values, stable=True)
    ordered = values[order]
    new = torch.ones(len(values), dtype=torch.bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return order[new].sort().values
