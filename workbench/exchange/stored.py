"""Tensors where they lie in a file: dtype, shape and bytes, checked against the file before anything is allocated."""

import math
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from workbench.core import ArtifactError

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Every dtype that any of the containers may hold, by its safetensors name."""
MAX_DIMENSIONS = 8


def mapped(path: Path) -> memoryview:
    """The bytes of a file, mapped and not read.

    Raises:
        ArtifactError: no such file, an empty one, or one that cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise ArtifactError(f"there is no file {path}") from None
    except ValueError:
        raise ArtifactError(f"{path} is empty", hint="was the download interrupted?") from None
    except OSError as error:
        raise ArtifactError(f"cannot read {path}", found=error.strerror) from None


def shape_of(value: Any, where: str) -> tuple[int, ...]:
    """A shape from untrusted data: a few whole numbers, none negative.

    Raises:
        ArtifactError: anything else.
    """
    ok = isinstance(value, list | tuple) and len(value) <= MAX_DIMENSIONS
    if not ok or any(type(size) is not int or not 0 <= size < 2**48 for size in value):
        raise ArtifactError(f"{where} has an impossible shape", found=_short(value))
    return tuple(value)


def _short(value: Any) -> str:
    """A few characters of a value that may be anything; nothing nested is walked."""
    if isinstance(value, list | tuple):
        plain = [str(item)[:20] if isinstance(item, int | float | str) else type(item).__name__ for item in value[:9]]
        return f"found [{', '.join(plain)}{', ...' if len(value) > 9 else ''}]"
    return f"found {type(value).__name__}"


@dataclass(frozen=True)
class Stored:
    """A tensor that lies in `data`; it is copied out only by `load`.

    Attributes:
        data: the bytes of its storage, no more and no less than `span` elements need.
        stride: in elements, None for a contiguous tensor.
    """

    data: memoryview
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...] | None = None

    def load(self) -> Tensor:
        """A tensor of its own memory."""
        if not math.prod(self.shape):
            return torch.zeros(self.shape, dtype=self.dtype)
        flat = torch.frombuffer(bytearray(self.data), dtype=self.dtype)
        if self.stride is None:
            return flat.reshape(self.shape)
        return flat.as_strided(self.shape, self.stride).contiguous()


def stored(data: memoryview, dtype: torch.dtype, shape: tuple[int, ...], where: str) -> Stored:
    """A contiguous tensor that must fill its bytes exactly.

    Raises:
        ArtifactError: the bytes are more or fewer than dtype and shape need.
    """
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != len(data):
        raise ArtifactError(
            f"{where} wants {wanted:,} bytes for {str(dtype).removeprefix('torch.')} {list(shape)}",
            found=f"the file holds {len(data):,}",
            hint="was the download interrupted?",
        )
    return Stored(data, dtype, shape)


class Tensors(Mapping[str, Stored]):
    """The tensors of one file by name; `take` loads one after checking what it must be."""

    def __init__(self, where: str, entries: Mapping[str, Stored], extra: Mapping[str, Any] | None = None) -> None:
        self.where, self._entries = where, dict(entries)
        self.extra: dict[str, Any] = dict(extra or {})
        self._seen: set[str] = set()

    def __getitem__(self, name: str) -> Stored:
        self._seen.add(name)
        return self._entries[name]

    def __iter__(self):
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, name: str, *shape: int | None) -> Tensor:
        """A tensor of floating-point weights, finite and of a given shape (None: any size); half precision is widened.

        Raises:
            ArtifactError: it is missing, of another shape, of whole numbers, or holds NaN or infinity.
        """
        entry = self._entries.get(name)
        if entry is None:
            have = ", ".join(sorted(self._entries)[:12]) or "nothing"
            raise ArtifactError(f"{self.where} wants a tensor {name}", found=f"it holds {have}")
        fits = len(shape) == len(entry.shape) and all(
            want in (None, have) for want, have in zip(shape, entry.shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise ArtifactError(f"{self.where}: {name} wants the shape [{wanted}]", found=f"found {list(entry.shape)}")
        if not entry.dtype.is_floating_point:
            raise ArtifactError(
                f"{self.where}: {name} wants floating-point numbers", found=f"found {str(entry.dtype)[6:]}"
            )
        self._seen.add(name)
        tensor = entry.load()
        if not torch.isfinite(tensor).all():
            raise ArtifactError(f"{self.where}: {name} holds NaN or infinity", hint="the file is damaged")
        return tensor if tensor.dtype == torch.float64 else tensor.float()

    def number(self, name: str, whole: bool = False) -> float:
        """A tensor of one element as a number; `whole`: it must be of a dtype of whole numbers, else it must not.

        Raises:
            ArtifactError: it is missing, has more elements or another dtype, or is no finite number.
        """
        entry = self._entries.get(name)
        if entry is None or math.prod(entry.shape) != 1:
            raise ArtifactError(
                f"{self.where} wants one number {name}", found="none" if entry is None else f"found {list(entry.shape)}"
            )
        self._seen.add(name)
        if entry.dtype.is_floating_point == whole:
            wanted = "a whole number" if whole else "a floating-point number"
            raise ArtifactError(f"{self.where}: {name} wants {wanted}", found=f"found {str(entry.dtype)[6:]}")
        value = float(entry.load().item())
        if not math.isfinite(value):
            raise ArtifactError(f"{self.where}: {name} wants a finite number", found=f"found {value}")
        return value

    def refuse_unread(self, harmless: str) -> None:
        """Refuse a file with tensors that nobody looked at: they may change what it computes.

        Args:
            harmless: a pattern of names that may be left unread.

        Raises:
            ArtifactError: there are others.
        """
        unread = [name for name in self._entries if name not in self._seen and not re.fullmatch(harmless, name)]
        if unread:
            shown = ", ".join(name[:60] for name in sorted(unread)[:6])
            raise ArtifactError(
                f"{self.where} holds tensors that its format does not have",
                found=shown,
                hint="it may be of a newer version or of another format; name that one with --format",
            )
