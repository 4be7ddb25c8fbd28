"""Rows: one source of training rows, from a store or straight from the model, in seeded chunks."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Site


@dataclass(frozen=True)
class Chunk:
    """Some shuffled rows at every site.

    Attributes:
        number: counts chunks over all passes.
        inputs: Site -> rows; what a row holds beyond one axis is flattened.
        row_ids: the row of the text that each came from (as `ActivationStore.row` counts).
    """

    number: int
    inputs: Mapping[Site, Float[Tensor, "n d"]]
    row_ids: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.row_ids)


@runtime_checkable
class Rows(Protocol):
    """Rows at positions that the mask keeps, each once per pass.

    A chunk is a pure function of the source, the seed and its number: to resume at chunk c, ask for it.
    """

    @property
    def sites(self) -> tuple[Site, ...]: ...
    @property
    def total_rows(self) -> int:
        """Rows of all passes together."""
        ...

    @property
    def n_chunks(self) -> int:
        """Chunks of all passes together."""
        ...

    @property
    def ref(self) -> dict[str, Any]:
        """`model`, `text` and `mask` of the rows, under the names that a Manifest gives them."""
        ...

    @property
    def identity(self) -> dict[str, Any]:
        """JSON of everything that decides what a chunk holds; equal identities give equal chunks."""
        ...

    def chunk(self, number: int) -> Chunk:
        """One chunk in memory of its own."""
        ...

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """The chunks from `start` on, in buffers that are used again: a chunk lives until the next is asked for."""
        ...
