"""Zip archives as checkpoints use them, checked before their members are read."""

import struct
import zipfile
import zlib
from pathlib import Path

from workbench.core import ArtifactError

from .stored import mapped

MAX_MEMBERS = 100_000
MAX_INFLATION = 64 << 20
"""A compressed member may be this much longer than eight times its bytes in the file."""


class Archive:
    """The members of a zip file; stored ones are read in place, deflated ones within a bound.

    Raises:
        ArtifactError: no zip file, or a damaged one.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._data = Path(path), mapped(path)
        self._refuse_crowds()
        try:
            with zipfile.ZipFile(path) as archive:
                self._members = {info.filename: info for info in archive.infolist()}
        except _ZIP_ERRORS as error:
            raise self._damaged(str(error)) from None

    @property
    def names(self) -> list[str]:
        return list(self._members)

    def read(self, name: str) -> memoryview:
        """The bytes of a member.

        Raises:
            ArtifactError: there is none, it leaves the file, is encrypted, or grows beyond the bound.
        """
        info = self._members.get(name)
        if info is None:
            raise self._damaged(f"there is no member {name[:80]!r}")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._damaged(f"{name[:80]!r} is encrypted or compressed in a way that is not read")
        start = self._start(info)
        if start + info.compress_size > len(self._data):
            raise self._damaged(f"{name[:80]!r} leaves the file")
        body = self._data[start : start + info.compress_size]
        if info.compress_type == zipfile.ZIP_STORED:
            if info.file_size != info.compress_size:
                raise self._damaged(f"{name[:80]!r} has two sizes")
            return body
        return inflate(body, info.file_size, f"{self.path}: {name[:80]}", -zlib.MAX_WBITS)

    def _start(self, info: zipfile.ZipInfo) -> int:
        header = self._data[info.header_offset : info.header_offset + 30] if info.header_offset >= 0 else b""
        if len(header) < 30 or bytes(header[:4]) != b"PK\x03\x04":
            raise self._damaged(f"{info.filename[:80]!r} has no header")
        name, extra = struct.unpack("<HH", header[26:30])
        return info.header_offset + 30 + name + extra

    def _refuse_crowds(self) -> None:
        """Refuse a directory of more members than a checkpoint has, before it is read."""
        tail = bytes(self._data[-66_000:])
        end = tail.rfind(b"PK\x05\x06")
        if end < 0 or len(tail) < end + 22:
            raise self._damaged("there is no directory")
        (members,) = struct.unpack_from("<H", tail, end + 10)
        if members == 0xFFFF and (wide := tail.rfind(b"PK\x06\x06", 0, end)) >= 0 and len(tail) >= wide + 40:
            (members,) = struct.unpack_from("<Q", tail, wide + 32)
        if members > MAX_MEMBERS:
            raise self._damaged(f"it announces {members:,} members")

    def _damaged(self, found: str) -> ArtifactError:
        return ArtifactError(f"the archive {self.path} cannot be read", found[:160], "was the download interrupted?")


def inflate(data: memoryview, size: int, where: str, window: int) -> memoryview:
    """Decompress at most `size` bytes, which must be plausible for `data`.

    Raises:
        ArtifactError: damaged, longer than announced, or far longer than weights can be.
    """
    if size > 8 * len(data) + MAX_INFLATION:
        raise ArtifactError(f"{where} wants to grow from {len(data):,} to {size:,} bytes", hint="weights do not")
    machine = zlib.decompressobj(window)
    try:
        found = machine.decompress(data, size + 1)
    except zlib.error as error:
        raise ArtifactError(f"{where} cannot be decompressed", found=str(error)) from None
    if len(found) != size or not machine.eof:
        raise ArtifactError(f"{where} wants {size:,} bytes", found=f"the compressed data hold {len(found):,}")
    return memoryview(found)


_ZIP_ERRORS = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, OSError, ValueError, OverflowError, IndexError,
    KeyError, struct.error, RuntimeError,
)  # fmt: skip
