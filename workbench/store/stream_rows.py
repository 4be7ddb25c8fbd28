"""StreamRows: training rows straight from the model, without a store."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import Edit, Site, StoreError
from workbench.data import PackedText
from workbench.models import HookedModel

from .compatibility import refuse_text
from .plan import batch_of, row_sites
from .row_order import RowOrder
from .rows import Chunk
from .text_index import real_positions, special_ids

Buffers = dict[Site, Tensor]


class StreamRows:
    """Rows captured as they are needed, `chunk_sequences` at a time, on the model's device.

    Args:
        batch_sequences: sequences in one forward pass; part of what fixes the last bits of the rows.
        edits: in force while the model runs.

    Raises:
        StoreError: the policy keeps no row of the text, or the text is not packed for this model.
    """

    def __init__(
        self,
        model: HookedModel,
        text: PackedText,
        sites: Sequence[Site | str],
        chunk_sequences: int = 64,
        seed: int = 0,
        passes: int = 1,
        batch_sequences: int = 16,
        edits: Sequence[Edit] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        refuse_text(model, text)
        self.sites = row_sites(sites)
        self._model, self._text, self._edits, self._dtype = model, text, tuple(edits), dtype
        self._mask = text.mask(model.policy, special_ids(model)) & real_positions(text)
        self._order = RowOrder(text.lengths, self._mask[real_positions(text)], seed)
        self._chunk_sequences, self._batch_sequences, self._passes = chunk_sequences, batch_sequences, passes
        if not self._order.total:
            raise StoreError(f"{text.ref.id} has no row that counts", found=model.policy.describe())

    @property
    def total_rows(self) -> int:
        return self._order.total * self._passes

    @property
    def n_chunks(self) -> int:
        return self._chunks_per_pass * self._passes

    @property
    def ref(self) -> dict[str, Any]:
        return {"model": self._model.ref, "text": self._text.ref, "mask": self._model.policy}

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "source": "stream",
            "model": self._model.ref.model_dump(mode="json"),
            "text": self._text.ref.hash,
            "edits": [edit.to_json() for edit in self._edits],
            "sites": [str(site) for site in self.sites],
            "order": self._order.identity(),
            "chunk_sequences": self._chunk_sequences,
            "batch_sequences": self._batch_sequences,
            "passes": self._passes,
            "dtype": str(self._dtype),
        }

    def chunk(self, number: int) -> Chunk:
        """One chunk in memory of its own."""
        return self._run(number, {})

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """The chunks from `start` on; a chunk's tensors are overwritten when the next one is asked for."""
        buffers: Buffers = {}
        for number in range(start, self.n_chunks):
            yield self._run(number, buffers)

    @property
    def _chunks_per_pass(self) -> int:
        return -(-len(self._text) // self._chunk_sequences)

    def _run(self, number: int, buffers: Buffers) -> Chunk:
        sequences = self._sequences(number)
        rows = self._order.shuffled(self._order.rows_of(sequences), number)
        ascending, place = torch.sort(rows)
        longest_first = sequences[torch.argsort(self._text.lengths[sequences], descending=True, stable=True)]
        for group in longest_first.split(self._batch_sequences):
            here = self._order.rows_of(group)
            self._place(group, place[torch.searchsorted(ascending, here)], buffers)
        return Chunk(number, {site: buffers[site][: len(rows)] for site in self.sites}, rows)

    def _sequences(self, number: int) -> Int[Tensor, " s"]:
        if not 0 <= number < self.n_chunks:
            raise StoreError(f"there is no chunk {number}", found=f"there are {self.n_chunks}")
        pass_number, part = divmod(number, self._chunks_per_pass)
        first = part * self._chunk_sequences
        return self._order.sequences(pass_number)[first : first + self._chunk_sequences]

    def _place(self, group: Int[Tensor, " s"], place: Int[Tensor, " n"], buffers: Buffers) -> None:
        """Run some sequences and lay their kept rows at their places of the chunk."""
        batch = batch_of(self._text, group)
        kept = self._mask[group, : batch.ids.shape[1]].flatten().nonzero().squeeze(1)
        found = self._model.capture(batch, self.sites, self._edits)
        for site in self.sites:
            values = found[site]
            values = values.reshape(values.shape[0] * values.shape[1], -1)
            if site not in buffers:
                buffers[site] = values.new_empty(self._most_rows, values.shape[1], dtype=self._dtype)
            chosen = values.index_select(0, kept.to(values.device)).to(self._dtype)
            buffers[site].index_copy_(0, place.to(values.device), chosen)

    @property
    def _most_rows(self) -> int:
        """No chunk has more rows than the fullest sequences together."""
        return int(torch.topk(self._order.counts, min(self._chunk_sequences, len(self._text))).values.sum())
