"""StoreRows: training rows from an activation store."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import MaskPolicy, Site, StoreError

from .prefetch import ahead
from .row_order import RowOrder
from .rows import Chunk
from .store import ActivationStore


class StoreRows:
    """Rows of a store, `chunk_rows` at a time (the last chunk of a pass is shorter).

    A chunk holds rows of about `chunk_rows / sequence_length` sequences from anywhere in the text. Files are
    read in the order of the disk and each row is laid at its shuffled place.

    Args:
        policy: which positions count; by default the store's policy. Only `prepend_bos` must agree with it.
        dtype: of the rows handed out.
        prefetch: read the next chunk in a thread while this one is used; doubles the buffers.

    Raises:
        StoreError: no row counts, or the policy asks for other tokens than the store has.
    """

    def __init__(
        self,
        store: ActivationStore,
        chunk_rows: int = 8192,
        seed: int = 0,
        passes: int = 1,
        sites: Sequence[Site | str] = (),
        policy: MaskPolicy | None = None,
        dtype: torch.dtype = torch.float32,
        prefetch: bool = False,
    ) -> None:
        policy = policy or store.policy
        if policy.prepend_bos != store.policy.prepend_bos:
            raise StoreError(
                f"{store.folder} was captured with: {store.policy.describe()}",
                found=f"wanted: {policy.describe()}",
                hint="capture again under that policy",
            )
        self.sites = tuple(Site.parse(site) for site in sites) or store.sites
        self._widths = {site: prod(store.shape(site)) for site in self.sites}
        self._store, self._policy, self._dtype, self._prefetch = store, policy, dtype, prefetch
        self._order = RowOrder(store.index.lengths, store.index.mask(policy, store.special_ids), seed)
        self._chunk_rows, self._passes = chunk_rows, passes
        if not self._order.total:
            raise StoreError(f"{store.folder} has no row that counts", found=policy.describe())

    @property
    def total_rows(self) -> int:
        return self._order.total * self._passes

    @property
    def n_chunks(self) -> int:
        return self._chunks_per_pass * self._passes

    @property
    def ref(self) -> dict[str, Any]:
        manifest = self._store.manifest
        return {"model": manifest.model, "text": manifest.text, "mask": self._policy}

    @property
    def identity(self) -> dict[str, Any]:
        manifest = self._store.manifest
        return {
            "source": "store",
            "store": manifest.content_hash or [shard["sha256"] for shard in manifest.details["shards"]],
            "sites": [str(site) for site in self.sites],
            "order": self._order.identity(),
            "chunk_rows": self._chunk_rows,
            "passes": self._passes,
            "dtype": str(self._dtype),
        }

    def chunk(self, number: int) -> Chunk:
        """One chunk in memory of its own."""
        return self._read(number, self._buffers())

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """The chunks from `start` on; a chunk's tensors are overwritten when the next one is asked for."""
        numbers = range(start, self.n_chunks)
        if not self._prefetch:
            buffers = self._buffers()
            return (self._read(number, buffers) for number in numbers)
        # One chunk is in use and one is waiting while a third is read.
        ring = [self._buffers() for _ in range(3)]
        return ahead(self._read(number, ring[number % 3]) for number in numbers)

    @property
    def _chunks_per_pass(self) -> int:
        return -(-self._order.total // self._chunk_rows)

    def _buffers(self) -> "_Buffers":
        return _Buffers(min(self._chunk_rows, self._order.total), self._widths, self._dtype, self._store.dtype)

    def _read(self, number: int, buffers: "_Buffers") -> Chunk:
        rows = self._rows(number)
        ascending, place = torch.sort(rows)
        back = torch.empty_like(place)
        back[place] = torch.arange(len(place))
        inputs = {}
        for site, out in buffers.out.items():
            inputs[site] = out[: len(rows)]
            raw = buffers.raw[: len(rows) * out.shape[1]].view(len(rows), -1)
            self._store.gather(site, ascending, raw.view(len(rows), *self._store.shape(site)))
            if out.dtype == raw.dtype:
                torch.index_select(raw, 0, back, out=inputs[site])
            else:
                shuffled = buffers.shuffled[: len(rows) * out.shape[1]].view(len(rows), -1)
                inputs[site].copy_(torch.index_select(raw, 0, back, out=shuffled))
        return Chunk(number, inputs, rows)

    def _rows(self, number: int) -> Int[Tensor, " n"]:
        if not 0 <= number < self.n_chunks:
            raise StoreError(f"there is no chunk {number}", found=f"there are {self.n_chunks}")
        pass_number, place = divmod(number, self._chunks_per_pass)
        first = place * self._chunk_rows
        stop = min(first + self._chunk_rows, self._order.total)
        return self._order.shuffled(self._order.slice_of_pass(pass_number, first, stop), number)


class _Buffers:
    """Memory of one chunk: the rows handed out, and room for one site in the store's format, as read and shuffled."""

    def __init__(self, rows: int, widths: dict[Site, int], dtype: torch.dtype, stored: torch.dtype) -> None:
        self.out = {site: torch.empty(rows, width, dtype=dtype) for site, width in widths.items()}
        size = rows * max(widths.values())
        self.raw = torch.empty(size, dtype=stored)
        self.shuffled = torch.empty(0 if dtype == stored else size, dtype=stored)
