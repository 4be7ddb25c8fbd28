"""The sparse latent cache that delphi reads: which latent was active where, in shards of latents."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from safetensors.numpy import save
from torch import Tensor

from workbench.core import ArtifactError, Codes, ConfigError, ShapeError, Site, write_bytes

from .sites import module_path
from .writing import write_text_json

SMALLEST = 1e-5
"""Smaller activations count as none, as in delphi's own cache."""
_HALF_MAX = 65504.0


class LatentCache:
    """Collects the codes of one dictionary, sequence by sequence, and writes them as delphi's cache.

    Files: `{start}_{end}.safetensors` for each range of latents, both ends included, with `locations` [nnz, 3]
    (sequence, position, latent - start), `activations` [nnz] and `tokens` [sequences, positions].

    Args:
        width: number of latents.
        length: positions of a sequence.
    """

    def __init__(self, width: int, length: int) -> None:
        self.width, self.length, self.sequences = width, length, 0
        self._locations: list[np.ndarray] = []
        self._activations: list[np.ndarray] = []
        self._tokens: list[np.ndarray] = []

    def add(self, tokens: Int[Tensor, "b t"], codes: Codes, counted: Bool[Tensor, "b t"]) -> None:
        """Add some sequences: codes of the positions that count, in the order of the mask.

        Raises:
            ShapeError: other positions or another width than announced.
        """
        rows = counted.nonzero()
        if tuple(counted.shape) != tuple(tokens.shape) or len(codes) != len(rows) or codes.width != self.width:
            raise ShapeError(
                f"the cache wants codes of {len(rows)} positions over {self.width} latents",
                found=f"found {len(codes)} over {codes.width}",
            )
        if tokens.shape[1] > self.length:
            raise ShapeError(f"the cache wants at most {self.length} positions", found=f"found {tokens.shape[1]}")
        active = codes.value.abs() > SMALLEST
        place = rows[codes.row_ids()[active]]
        found = torch.cat([place, codes.index[active][:, None]], 1).cpu().numpy().astype(np.int64)
        found[:, 0] += self.sequences
        padded = torch.zeros(len(tokens), self.length, dtype=torch.long)
        padded[:, : tokens.shape[1]] = tokens
        order = np.lexsort((found[:, 2], found[:, 1], found[:, 0]))
        self._locations.append(found[order])
        self._activations.append(codes.value[active].detach().float().cpu().numpy()[order])
        self._tokens.append(padded.numpy())
        self.sequences += len(tokens)

    def write(self, folder: Path, settings: Mapping[str, Any], n_splits: int = 5) -> list[Path]:
        """Write the shards and config.json into `folder`.

        Raises:
            ConfigError: nothing was added, or more shards than latents.
        """
        if not self.sequences or not 1 <= n_splits <= self.width:
            raise ConfigError(f"a cache wants sequences and 1 to {self.width} splits", found=f"{n_splits} splits")
        locations, activations = np.concatenate(self._locations), np.concatenate(self._activations)
        tokens = np.concatenate(self._tokens)
        edges = torch.linspace(0, self.width, n_splits + 1).long().tolist()
        # delphi keeps halves; a residual stream can leave their range.
        dtype = np.float16 if not len(activations) or np.abs(activations).max() <= _HALF_MAX else np.float32
        small = max(self.sequences, self.length, max(b - a for a, b in pairwise(edges))) < 2**16
        written = []
        for start, end in pairwise(edges):
            mine = (locations[:, 2] >= start) & (locations[:, 2] < end)
            place = (locations[mine] - np.array([0, 0, start])).astype(np.uint16 if small else np.uint32)
            path = Path(folder) / f"{start}_{end - 1}.safetensors"
            content = {"locations": place, "activations": activations[mine].astype(dtype), "tokens": tokens}
            write_bytes(path, save(content))
            written.append(path)
        write_text_json(Path(folder) / "config.json", {**settings, "cache_ctx_len": self.length, "n_splits": n_splits})
        return written


def cache_folder_name(read: Site, write: Site) -> str:
    """The module path by which delphi calls a dictionary, else its Site."""
    try:
        return module_path(read, write)
    except ArtifactError:
        return str(read)
