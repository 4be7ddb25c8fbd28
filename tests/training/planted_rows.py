"""Rows held in memory, from a planted sparse problem: y = D relu(E x) + A x with few features active in a row."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.core import MaskPolicy, ModelRef, Site, TextRef, generator
from workbench.store import Chunk


@dataclass(frozen=True)
class MemoryRows:
    """The Rows protocol over a dict of tensors."""

    data: dict[Site, Tensor]
    chunk_rows: int
    seed: int = 0
    passes: int = 1

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(self.data)

    @property
    def _rows(self) -> int:
        return len(next(iter(self.data.values())))

    @property
    def total_rows(self) -> int:
        return self._rows * self.passes

    @property
    def n_chunks(self) -> int:
        return -(-self._rows // self.chunk_rows) * self.passes

    @property
    def ref(self) -> dict[str, Any]:
        return {
            "model": ModelRef(id="planted", weight_hash="0"),
            "text": TextRef(id="memory", hash="0"),
            "mask": MaskPolicy(),
        }

    @property
    def identity(self) -> dict[str, Any]:
        return {"sites": [str(site) for site in self.sites], "rows": (self._rows, self.chunk_rows), "seed": self.seed}

    def chunk(self, number: int) -> Chunk:
        per_pass = self.n_chunks // self.passes
        order = torch.randperm(self._rows, generator=generator(self.seed, "pass", number // per_pass))
        start = (number % per_pass) * self.chunk_rows
        index = order[start : start + self.chunk_rows]
        return Chunk(number, {site: rows[index] for site, rows in self.data.items()}, index)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        for number in range(start, self.n_chunks):
            yield self.chunk(number)


def planted_pair(rows: int, d: int, features: int, active: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """x [rows, d] made of `active` of `features` unit directions, y another direction of each plus a linear part."""
    draw = generator(seed, "planted")
    encoder = torch.nn.functional.normalize(torch.randn(features, d, generator=draw))
    decoder = torch.nn.functional.normalize(torch.randn(features, d, generator=draw))
    index = torch.rand(rows, features, generator=draw).topk(active, dim=1).indices
    value = 1 + torch.rand(rows, active, generator=draw)
    codes = torch.zeros(rows, features).scatter_(1, index, value)
    linear = torch.randn(d, d, generator=draw) / (2 * d**0.5)
    x = codes @ encoder + 0.01 * torch.randn(rows, d, generator=draw) + 3.0
    gate = (codes - 1.4).relu()
    return 5 * x, 0.2 * (gate @ decoder + 0.3 * x @ linear)


def planted_rows(layers: int = 2, rows: int = 4000, d: int = 16, chunk_rows: int = 512, passes: int = 1) -> MemoryRows:
    """A planted pair at mlp_in and mlp_out of each layer."""
    data = {}
    for layer in range(layers):
        x, y = planted_pair(rows, d, 32, 3, seed=layer)
        data[Site("mlp_in", layer)], data[Site("mlp_out", layer)] = x, y
    return MemoryRows(data, chunk_rows, passes=passes)
