"""numpy's .npy and .npz files without objects, sizes checked before anything is allocated."""

import re
from pathlib import Path

import torch

from workbench.core import ArtifactError

from .archive import Archive
from .stored import Stored, Tensors, shape_of, stored

CODES: dict[str, torch.dtype] = {
    "f8": torch.float64,
    "f4": torch.float32,
    "f2": torch.float16,
    "i8": torch.int64,
    "i4": torch.int32,
    "i2": torch.int16,
    "i1": torch.int8,
    "u1": torch.uint8,
    "b1": torch.bool,
}
"""numpy's type codes without byte order."""
_HEADER = re.compile(
    r"\{'descr': '(?P<descr>[<>|=]\w{1,4})', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>[0-9, ]{0,200})\),? *\} *\n?"
)


def read_npz(path: Path) -> Tensors:
    """The arrays of an archive by name.

    Raises:
        ArtifactError: a damaged archive or array, or one that holds objects.
    """
    archive = Archive(path)
    names = [name for name in archive.names if name.endswith(".npy")]
    if not names:
        raise ArtifactError(f"{path} wants .npy members", found=", ".join(archive.names[:5]) or "an empty archive")
    return Tensors(str(path), {name[:-4]: read_npy(archive.read(name), f"{path}: {name[:80]}") for name in names})


def read_npy(data: memoryview, where: str) -> Stored:
    """One array from the bytes of a .npy file.

    Raises:
        ArtifactError: a header that is malformed, asks for objects, or does not fit the bytes that follow.
    """
    if len(data) < 12 or bytes(data[:6]) != b"\x93NUMPY" or data[6] not in (1, 2, 3):
        raise ArtifactError(f"{where} is no .npy file")
    start = 10 if data[6] == 1 else 12
    length = int.from_bytes(data[8:start], "little")
    if length > min(len(data) - start, 10_000):
        raise ArtifactError(f"{where}: the header is truncated", found=f"{length:,} bytes announced")
    text = bytes(data[start : start + length]).decode("latin1")
    match = _HEADER.fullmatch(text)
    if not match:
        raise ArtifactError(f"{where}: the header cannot be read", found=repr(text[:60]))
    shape = shape_of([int(size) for size in match["shape"].replace(",", " ").split()], where)
    dtype = numpy_dtype(match["descr"], where)
    body = data[start + length :]
    if match["fortran"] == "False" or len(shape) < 2:
        return stored(body, dtype, shape, where)
    stored(body, dtype, shape, where)
    strides = [1]
    for size in shape[:-1]:
        strides.append(strides[-1] * size)
    return Stored(body, dtype, shape, tuple(strides))


def numpy_dtype(descr: str, where: str) -> torch.dtype:
    """The dtype of numpy's description, e.g. `<f4`.

    Raises:
        ArtifactError: objects, text, big-endian numbers or others that are not read.
    """
    code = descr.lstrip("<|=")
    if code not in CODES:
        hint = "arrays of objects are never read" if "O" in descr else f"read: {', '.join(CODES)}, little-endian"
        raise ArtifactError(f"{where} has a dtype that is not read", found=f"found {descr[:20]!r}", hint=hint)
    return CODES[code]
