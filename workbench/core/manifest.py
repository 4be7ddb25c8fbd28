"""Manifest: what every artifact says of itself and of where it came from."""

import importlib.metadata
import platform
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from .config import Config
from .policy import MaskPolicy

SCHEMA = 1


def _threads() -> int:
    import torch  # a manifest that is read needs none of it

    return torch.get_num_threads()


def versions() -> dict[str, str]:
    """Versions of what can change a number: Python, this package and the libraries below it."""
    found = {"python": platform.python_version()}
    for name in ("mech-workbench", "torch", "transformers", "transformer-lens", "numpy", "numba"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


class ModelRef(Config):
    """Which weights: id, hash over every tensor, dtype in use, and how they were processed."""

    id: str
    weight_hash: str
    dtype: str = "float32"
    processing: tuple[str, ...] = Field(default=(), description="flags such as `dequantised from Q4_1`")
    tokenizer_hash: str = ""


class TextRef(Config):
    """Which text: name, hash over the packed tokens, licence, sequence length, and the split used."""

    id: str
    hash: str
    licence: str = "unknown"
    split: str = "train"
    sequence_length: int = 128


class Manifest(Config):
    """The record beside every artifact's weights.

    `content_hash` is filled by the writer. Artifacts of different policies, models or tokenizers are never
    mixed silently: readers compare these fields.
    """

    kind: str = Field(description="store, dictionary, dictionary set, graph, result, report, model")
    name: str = ""
    schema_number: int = Field(default=SCHEMA, ge=1)
    content_hash: str = ""
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    model: ModelRef | None = None
    text: TextRef | None = None
    mask: MaskPolicy | None = None
    edits: tuple[dict[str, Any], ...] = Field(default=(), description="Edits in force when this was made")
    parents: dict[str, str] = Field(default_factory=dict, description="name -> content hash")
    seed: int | None = None
    threads: int = Field(default_factory=_threads)
    versions: dict[str, str] = Field(default_factory=versions)
    partial: bool = Field(default=False, description="the work was interrupted; this is what was done")
    config: dict[str, Any] = Field(default_factory=dict, description="the settings of the verb that made this")
    details: dict[str, Any] = Field(default_factory=dict, description="what only this kind needs")
