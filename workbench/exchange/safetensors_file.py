"""safetensors files, their header checked before it is believed."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.core import ArtifactError

from .stored import DTYPES, Stored, Tensors, mapped, shape_of, stored

MAX_HEADER = 4 << 20
"""Bytes; 40,000 tensors need fewer."""


def read_safetensors(path: Path) -> Tensors:
    """The tensors of a file; their bytes stay in the file until they are taken.

    Raises:
        ArtifactError: a header that is truncated, too long, no JSON, or does not describe the bytes that follow:
            unknown dtypes, impossible shapes, ranges that overlap, leave gaps or leave the file.
    """
    data, where = mapped(path), str(path)
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8 or length > MAX_HEADER:
        raise ArtifactError(
            f"{where} wants a safetensors header", found=f"it announces {length:,} bytes in a file of {len(data):,}"
        )
    header = _header(bytes(data[8 : 8 + length]), where)
    header.pop("__metadata__", None)
    body = data[8 + length :]
    entries: dict[str, Stored] = {}
    ranges: list[tuple[int, int]] = []
    for name, entry in header.items():
        label = f"{where}: {name[:80]}"
        dtype, shape, offsets = _fields(entry, label)
        first, last = shape_of(offsets, label) if isinstance(offsets, list) and len(offsets) == 2 else (1, 0)
        if not first <= last <= len(body):
            raise ArtifactError(
                f"{label} lies outside the file", found=f"{len(body):,} bytes of data follow the header"
            )
        entries[name] = stored(body[first:last], DTYPES[dtype], shape, label)
        ranges.append((first, last))
    _refuse_overlap(ranges, len(body), where)
    return Tensors(where, entries)


def _header(text: bytes, where: str) -> dict[str, Any]:
    try:
        header = json.loads(text.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the header of {where} is no JSON", found=str(error)[:120]) from None
    if not isinstance(header, dict):
        raise ArtifactError(f"the header of {where} wants names of tensors", found=type(header).__name__)
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _fields(entry: Any, where: str) -> tuple[str, tuple[int, ...], Any]:
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        raise ArtifactError(f"{where} wants dtype, shape and offsets")
    if entry["dtype"] not in DTYPES:
        known = ", ".join(DTYPES)
        raise ArtifactError(f"{where} has a dtype that is not read", f"found {entry['dtype'][:20]!r}", f"read: {known}")
    return entry["dtype"], shape_of(entry.get("shape"), where), entry.get("data_offsets")


def _refuse_overlap(ranges: Iterable[tuple[int, int]], size: int, where: str) -> None:
    end = 0
    for first, last in sorted(ranges):
        if first != end:
            what = "overlap" if first < end else "leave a gap"
            raise ArtifactError(f"the tensors of {where} {what}", found=f"byte {first:,} follows byte {end:,}")
        end = last
    if end != size:
        raise ArtifactError(f"{where} is longer than its tensors", found=f"{size:,} bytes, {end:,} described")
