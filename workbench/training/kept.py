"""KeptRows: the chunks that are looked at before the first step, kept so that a stream runs its model once."""

from collections.abc import Iterator
from typing import Any

from workbench.core import Site
from workbench.store import Chunk, Rows


class KeptRows:
    """Rows whose first chunks are kept from the look before training until training has used them.

    Args:
        limit: bytes that may be kept; what does not fit is asked for again.
    """

    def __init__(self, rows: Rows, limit: float) -> None:
        self._rows, self._limit = rows, limit
        self._kept: dict[int, Chunk] = {}

    @property
    def sites(self) -> tuple[Site, ...]:
        return self._rows.sites

    @property
    def total_rows(self) -> int:
        return self._rows.total_rows

    @property
    def n_chunks(self) -> int:
        return self._rows.n_chunks

    @property
    def ref(self) -> dict[str, Any]:
        return self._rows.ref

    @property
    def identity(self) -> dict[str, Any]:
        return self._rows.identity

    def chunk(self, number: int) -> Chunk:
        return self._rows.chunk(number)

    def look(self) -> Iterator[Chunk]:
        """The chunks from the first on, kept while there is room."""
        for chunk in self._rows.chunks(0):
            size = sum(rows.numel() * rows.element_size() for rows in chunk.inputs.values())
            # Training takes kept chunks from the first on: behind one that is missing, none is of use.
            if chunk.number == len(self._kept) and size <= self._limit:
                self._limit -= size
                inputs = {site: rows.clone() for site, rows in chunk.inputs.items()}
                self._kept[chunk.number] = Chunk(chunk.number, inputs, chunk.row_ids)
            yield chunk

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """The chunks from `start` on; a kept one is let go as it is handed out."""
        number = start
        while number in self._kept:
            yield self._kept.pop(number)
            number += 1
        self._kept.clear()
        yield from self._rows.chunks(number)
