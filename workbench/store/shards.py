"""Shards: which sequences and rows lie in which file, and the one way to write a file."""

import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Int
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from workbench.core import StoreError, file_sha256

MAX_SHARD_ROWS = 2**16


@dataclass(frozen=True)
class Shard:
    """A run of whole sequences in one file; `sha256` and `bytes` are known once it is written."""

    number: int
    first_sequence: int
    stop_sequence: int
    first_row: int
    stop_row: int
    sha256: str = ""
    bytes: int = 0

    @property
    def file(self) -> str:
        return f"shard-{self.number:06d}.safetensors"

    @property
    def rows(self) -> int:
        return self.stop_row - self.first_row

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Shard":
        return cls(**data)

    def intact(self, folder: Path, contents: bool = True) -> bool:
        """True when the file has the recorded size and, if asked, the recorded hash."""
        path = folder / self.file
        try:
            return path.stat().st_size == self.bytes and (not contents or file_sha256(path) == self.sha256)
        except OSError:
            return False


def partition(lengths: Int[Tensor, " s"], per_shard: int) -> list[Shard]:
    """Cut sequences of the given lengths into shards of `per_shard` sequences; rows are counted without padding."""
    shards, row = [], 0
    for number, part in enumerate(lengths.split(per_shard) if len(lengths) else ()):
        first, rows = number * per_shard, int(part.sum())
        shards.append(Shard(number, first, first + len(part), row, row + rows))
        row += rows
    return shards


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> tuple[str, int]:
    """Write a safetensors file whole or not at all (temporary name, sync, rename); its sha256 and size.

    Raises:
        StoreError: the disk is full or the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        save_file(dict(tensors), temporary)
        sync(temporary)
        sha256, size = file_sha256(temporary), temporary.stat().st_size
        os.replace(temporary, path)
        sync(path.parent)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(
            f"cannot write {path}",
            found=str(error),
            hint="free some space and capture again: complete shards are kept",
        ) from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return sha256, size


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Delete what a killed writer left under temporary names."""
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)
