"""PyTorch checkpoints and pickles of tensors, through the restricted reader."""

import math
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.core import ArtifactError

from .archive import MAX_INFLATION, Archive
from .numpy_file import numpy_dtype
from .restricted_pickle import Function, Globals, Record, Unfinished, Unpickler
from .stored import Stored, Tensors, mapped, shape_of, stored

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


@dataclass
class _Storage:
    """A storage of a checkpoint; `fetch` gives its bytes."""

    dtype: torch.dtype
    count: int
    fetch: Callable[[], memoryview]


@dataclass
class _Array(Unfinished):
    """A numpy array whose shape and bytes follow in the pickle."""

    where: str
    value: Stored | None = None

    def restore(self, state: Any) -> None:
        version, shape, dtype, fortran, data = state
        if version != 1 or not isinstance(dtype, _Dtype) or fortran not in (True, False):
            raise TypeError
        self.value = _array(data, dtype.descr, shape, fortran, self.where)


@dataclass
class _Dtype(Unfinished):
    """A numpy dtype; its byte order follows in the pickle."""

    code: str
    order: str = "<"

    def restore(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", "|", "=", ">"):
            raise TypeError
        self.order = order

    @property
    def descr(self) -> str:
        return f"{self.order}{self.code}"


def read_checkpoint(path: Path, records: Collection[str] = ()) -> Any:
    """What a `.pt`, `.pth`, `.pkl` or `.pkl.gz` file holds: plain values, with `Stored` for tensors and arrays.

    Args:
        records: full names of classes whose instances are read as inert `Record`s.

    Raises:
        ArtifactError: damaged, or anything but tensors, arrays and plain values; nothing in it is run.
    """
    data, where = mapped(path), str(path)
    if bytes(data[:2]) == b"\x1f\x8b":
        data = _gunzip(data, where)
    elif bytes(data[:4]) == b"PK\x03\x04":
        return _from_zip(Archive(path), records)
    return _from_bytes(data, where, records)


def tensors_of(value: Any, where: str) -> Tensors:
    """The tensors of a state dict; its plain entries become `extra`.

    Raises:
        ArtifactError: it is no dict of names.
    """
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ArtifactError(f"{where} wants a state dict", found=f"it holds a {type(value).__name__}")
    entries = {name: finished(entry) for name, entry in value.items()}
    found = {name: entry for name, entry in entries.items() if isinstance(entry, Stored)}
    return Tensors(where, found, {name: entry for name, entry in entries.items() if not isinstance(entry, Stored)})


def finished(value: Any) -> Any:
    """The array of an `_Array`, anything else as it is."""
    return value.value if isinstance(value, _Array) else value


def _from_bytes(data: memoryview, where: str, records: Collection[str], depth: int = 0) -> Any:
    """A legacy checkpoint (five pickles, then the storages), or one pickle."""
    first = Unpickler(data, where, _globals(where, depth), records)
    value = first.load()
    if value != _LEGACY_MAGIC or type(value) is not int:
        return value
    rest = data[first.position :]
    for wanted in (_LEGACY_PROTOCOL, None):  # the protocol, then a description of the machine
        reader = Unpickler(rest, where, {})
        found = reader.load()
        if wanted is not None and found != wanted:
            raise ArtifactError(f"{where} is a checkpoint of an unknown version")
        rest = rest[reader.position :]
    storages: dict[str, _Storage] = {}
    places: dict[str, memoryview] = {}

    def persistent(identity: Any) -> _Storage:
        dtype, key, count = _storage_id(identity, where)
        if key not in storages:
            storages[key] = _Storage(dtype, count, lambda: places[key])
        return storages[key]

    reader = Unpickler(rest, where, _lazy_globals(where, depth), records, persistent)
    value = reader.load()
    rest = rest[reader.position :]
    reader = Unpickler(rest, where, {})
    keys = reader.load()
    rest = rest[reader.position :]
    if not isinstance(keys, list) or any(key not in storages for key in keys if isinstance(key, str)):
        raise ArtifactError(f"the storages of {where} are damaged")
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or int.from_bytes(rest[:8], "little") != storage.count:
            raise ArtifactError(f"the storages of {where} are damaged")
        size = storage.count * storage.dtype.itemsize
        if len(rest) < 8 + size:
            raise ArtifactError(f"{where} is truncated", found=f"{len(rest) - 8:,} bytes for a storage of {size:,}")
        places[key], rest = rest[8 : 8 + size], rest[8 + size :]
    return _resolved(value, where)


def _from_zip(archive: Archive, records: Collection[str]) -> Any:
    where = str(archive.path)
    roots = [name.removesuffix("data.pkl") for name in archive.names if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise ArtifactError(f"{where} is no PyTorch checkpoint", found=", ".join(archive.names[:5])[:160])
    root = roots[0]
    if f"{root}byteorder" in archive.names and bytes(archive.read(f"{root}byteorder")) != b"little":
        raise ArtifactError(f"{where} was written on a big-endian machine, which is not read")

    def persistent(identity: Any) -> _Storage:
        dtype, key, count = _storage_id(identity, where)
        return _Storage(dtype, count, lambda: archive.read(f"{root}data/{key}"))

    return Unpickler(archive.read(f"{root}data.pkl"), where, _globals(where, 0), records, persistent).load()


def _storage_id(identity: Any, where: str) -> tuple[torch.dtype, str, int]:
    ok = isinstance(identity, tuple) and len(identity) in (5, 6) and isinstance(identity[2], str)
    if not ok or identity[0] not in ("storage", b"storage") or not isinstance(identity[1], torch.dtype):
        raise ArtifactError(f"{where} refers to a storage in a way that is not read")
    (count,) = shape_of((identity[4],), where)
    return identity[1], identity[2], count


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, where: str) -> Stored:
    """The part of a storage that a tensor shows, checked to lie inside it."""
    if not isinstance(storage, _Storage):
        raise TypeError
    shape, steps = shape_of(size, where), shape_of(stride, where)
    (start,) = shape_of((offset,), where)
    if len(shape) != len(steps):
        raise TypeError
    count = math.prod(shape)
    span = 1 + sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) if count else 0
    if start + span > storage.count or count > storage.count:
        raise ArtifactError(
            f"{where}: a tensor {list(shape)} reaches beyond its storage", found=f"{storage.count:,} elements"
        )
    width = storage.dtype.itemsize
    data = storage.fetch()
    stored(data, storage.dtype, (storage.count,), where)
    part = data[start * width : (start + span) * width]
    return Stored(part, storage.dtype, shape, steps)


@dataclass
class _Later:
    """A tensor of a legacy checkpoint, whose storages follow the pickle."""

    arguments: tuple[Any, Any, Any, Any]


def _resolved(value: Any, where: str, depth: int = 0) -> Any:
    """The same value with its tensors; state dicts nest twice at most."""
    if isinstance(value, _Later):
        try:
            return _tensor(*value.arguments, where)
        except (TypeError, KeyError):
            raise ArtifactError(f"the storages of {where} are damaged") from None
    if isinstance(value, dict) and depth < 3:
        return {key: _resolved(item, where, depth + 1) for key, item in value.items()}
    return value


def _array(data: Any, descr: str, shape: Any, fortran: Any, where: str) -> Stored:
    if not isinstance(data, bytes | memoryview):
        raise ArtifactError(f"{where} holds an array of objects, which is never read")
    dtype, sizes = numpy_dtype(descr, where), shape_of(shape, where)
    found = stored(memoryview(data), dtype, sizes, where)
    if not fortran or len(sizes) < 2:
        return found
    strides = [1]
    for size in sizes[:-1]:
        strides.append(strides[-1] * size)
    return Stored(found.data, dtype, sizes, tuple(strides))


def _globals(where: str, depth: int) -> Globals:
    """The whole list of what a pickle may name, each replaced by a function of this module."""

    def tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Stored:
        return _tensor(storage, offset, size, stride, where)

    def storage(data: Any) -> Any:
        if depth or not isinstance(data, memoryview | bytes):
            raise TypeError
        return _from_bytes(memoryview(data), where, (), depth + 1)

    def encoded(text: Any, encoding: Any) -> memoryview:
        if encoding != "latin1":
            raise TypeError
        return memoryview(text.encode("latin1"))

    def from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> Stored:
        return _array(data, dtype.descr, shape, order == "F", where)

    allowed: Globals = {
        ("collections", "OrderedDict"): Function(_ordered_dict),
        ("torch._utils", "_rebuild_tensor"): Function(tensor),
        ("torch._utils", "_rebuild_tensor_v2"): Function(tensor),
        ("torch._utils", "_rebuild_parameter"): Function(lambda data, *_: data),
        ("torch.storage", "_load_from_bytes"): Function(storage),
        ("torch", "device"): Function(lambda *parts: ":".join(str(part)[:20] for part in parts)),
        ("torch", "Size"): Function(lambda sizes: tuple(sizes)),
        ("numpy", "ndarray"): "ndarray",
        ("numpy", "dtype"): Function(lambda code, *_: _Dtype(_code(code))),
        ("_codecs", "encode"): Function(encoded),
        ("__builtin__", "bytes"): Function(lambda: memoryview(b"")),  # how protocol 2 writes no bytes
        **{("torch", name): dtype for name, dtype in _STORAGES.items()},
        **{("torch", str(dtype)[6:]): str(dtype)[6:] for dtype in _STORAGES.values()},
    }
    for old in ("numpy.core", "numpy._core"):
        allowed[f"{old}.multiarray", "_reconstruct"] = Function(lambda *_: _Array(where))
        allowed[f"{old}.multiarray", "scalar"] = Function(
            lambda dtype, data: _array(data, dtype.descr, (), False, where)
        )
        allowed[f"{old}.numeric", "_frombuffer"] = Function(from_buffer)
    return allowed


def _lazy_globals(where: str, depth: int) -> Globals:
    later = Function(lambda storage, offset, size, stride, *_: _Later((storage, offset, size, stride)))
    names = ("_rebuild_tensor", "_rebuild_tensor_v2")
    return {**_globals(where, depth), **{("torch._utils", name): later for name in names}}


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str | int):
            raise TypeError
        found[key] = value
    return found


def _code(code: Any) -> str:
    if isinstance(code, memoryview):
        code = bytes(code).decode("ascii")
    if not isinstance(code, str) or len(code) > 4:
        raise TypeError
    return code


def _gunzip(data: memoryview, where: str) -> memoryview:
    """The pickle of a `.pkl.gz`, within a bound that weights do not reach."""
    limit = 8 * len(data) + MAX_INFLATION
    machine = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        found = machine.decompress(data, limit)
    except zlib.error as error:
        raise ArtifactError(f"{where} cannot be decompressed", found=str(error)) from None
    if not machine.eof:
        why = "it is truncated" if len(found) < limit else f"it grows beyond {limit:,} bytes"
        raise ArtifactError(f"{where} cannot be decompressed", found=why)
    return memoryview(found)


__all__ = ["Record", "finished", "read_checkpoint", "tensors_of"]
