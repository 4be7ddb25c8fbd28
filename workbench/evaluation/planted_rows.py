"""PlantedRows: training rows from planted features, made as they are needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from workbench.core import MaskPolicy, Site, TextRef, child
from workbench.data import PlantedFeatures
from workbench.store import Chunk


@dataclass(frozen=True)
class PlantedRows:
    """The Rows protocol over planted features, the same rows at every Site; every row is a new one.

    Args:
        rows: of the one pass.
    """

    planted: PlantedFeatures
    sites: tuple[Site, ...]
    rows: int
    chunk_rows: int = 8192
    seed: int = 0

    @property
    def total_rows(self) -> int:
        return self.rows

    @property
    def n_chunks(self) -> int:
        return -(-self.rows // self.chunk_rows)

    @property
    def ref(self) -> dict[str, Any]:
        text = TextRef(id="planted-features", hash=str(child(self.seed, self.planted.config.model_dump_json())))
        return {"model": None, "text": text, "mask": MaskPolicy(skip_first=0)}

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "source": "planted features",
            "planted": self.planted.config.model_dump(mode="json"),
            "sites": [str(site) for site in self.sites],
            "rows": self.rows,
            "chunk_rows": self.chunk_rows,
            "seed": self.seed,
        }

    def chunk(self, number: int) -> Chunk:
        """One chunk in memory of its own."""
        first = number * self.chunk_rows
        count = min(self.chunk_rows, self.rows - first)
        x = self.planted.sample(count, child(self.seed, "chunk", number)).x
        return Chunk(number, {site: x.clone() for site in self.sites}, torch.arange(first, first + count))

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """The chunks from `start` on."""
        return (self.chunk(number) for number in range(start, self.n_chunks))
