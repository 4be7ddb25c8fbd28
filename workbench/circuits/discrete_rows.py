"""What every head and MLP writes for a prompt, as one row each; and such rows as training data."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import MaskPolicy, Progress, Site, TextRef
from workbench.store import Chunk

from .component_model import ComponentModel
from .component_scores import stop_if_cancelled
from .contrast import Contrast


@dataclass(frozen=True)
class OutputRows:
    """Outputs in residual space of some components, for prompts (positive) and their corrupted twins (negative)."""

    positive: Float[Tensor, "n sources d"]
    negative: Float[Tensor, "n sources d"]


@torch.no_grad()
def output_rows(
    parts: ComponentModel, contrast: Contrast, sources: list[int], position: str, batch: int, progress: Progress
) -> OutputRows:
    """Run all prompts and keep the outputs of some sources, averaged over tokens or at the last one.

    Raises:
        Interrupted: cancelled.
    """
    progress.phase("reading outputs", 2 * len(contrast), "prompts")
    found: list[list[Tensor]] = [[], []]
    for some in contrast.batches(batch):
        for kept, tokens in zip(found, (some.clean_batch, some.corrupted_batch), strict=True):
            stop_if_cancelled(progress)
            written = parts.outputs(parts.activations(tokens))[sources].unflatten(1, tuple(some.clean.shape))
            if position == "last":
                kept.append(written[:, torch.arange(len(some)), some.lengths - 1].transpose(0, 1).float().cpu())
            else:
                real = some.real[None, :, :, None].to(written.dtype)
                mean = (written * real).sum(2) / some.lengths[None, :, None]
                kept.append(mean.transpose(0, 1).float().cpu())
            progress.advance(len(some))
    return OutputRows(*(torch.cat(side) for side in found))


@dataclass(frozen=True)
class FixedRows:
    """The Rows protocol over rows in memory, as one chunk."""

    rows: Float[Tensor, "n d"]
    site: Site

    @property
    def sites(self) -> tuple[Site, ...]:
        return (self.site,)

    @property
    def total_rows(self) -> int:
        return len(self.rows)

    @property
    def n_chunks(self) -> int:
        return 1

    @property
    def ref(self) -> dict[str, Any]:
        return {"model": None, "text": TextRef(id="component outputs", hash=self._hash), "mask": MaskPolicy()}

    @property
    def identity(self) -> dict[str, Any]:
        return {"source": "component outputs", "rows": self._hash, "site": str(self.site)}

    @property
    def _hash(self) -> str:
        return hashlib.sha256(self.rows.contiguous().numpy().tobytes()).hexdigest()

    def chunk(self, number: int) -> Chunk:
        """All rows, in memory of their own."""
        return Chunk(number, {self.site: self.rows.clone()}, torch.arange(len(self.rows)))

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """The one chunk."""
        return (self.chunk(number) for number in range(start, 1))
