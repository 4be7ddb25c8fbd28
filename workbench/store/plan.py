"""CapturePlan: what a capture will take, known before it starts."""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import psutil
import torch

from workbench.core import Edit, Progress, Silent, Site, SiteError, StoreError
from workbench.data import PackedText
from workbench.models import HookedModel, TokenBatch

from .compatibility import refuse_text
from .config import CaptureConfig
from .shards import MAX_SHARD_ROWS

_BYTES = {"bfloat16": 2, "float32": 4}
_TEXT_BYTES_PER_ROW = 4
_TEXT_BYTES_PER_SEQUENCE = 64
_PROBE_BYTES = 2**24


@dataclass(frozen=True)
class CapturePlan:
    """Rows, files, bytes and seconds of a capture.

    Attributes:
        shapes: Site -> shape of one row.
        rows, sequences: all positions that are no padding, masked ones too.
        shard_sequences, shards: how the text is cut into files.
        bytes_on_disk: size of the finished store. bytes_free: free on that disk now.
        memory_bytes: this process after the warm-up batch, plus the buffers of one shard.
        bytes_available: memory that the machine can still give. buffer_bytes: of that, what capture asks for.
        tokens_per_second: of one warm-up batch. write_speed: bytes per second of a probe on that disk, None without
            a folder. seconds: at these speeds for all rows.
    """

    shapes: dict[Site, tuple[int, ...]]
    rows: int
    sequences: int
    shard_sequences: int
    shards: int
    bytes_on_disk: int
    bytes_free: int
    buffer_bytes: int
    memory_bytes: int
    bytes_available: int
    tokens_per_second: float
    write_speed: float | None

    @property
    def seconds(self) -> float:
        writing = self.bytes_on_disk / self.write_speed if self.write_speed else 0.0
        return self.rows / self.tokens_per_second + writing

    def check(self, bytes_written: int = 0) -> None:
        """Refuse what cannot end well; `bytes_written` lie on the disk already.

        Raises:
            StoreError: the disk or the memory is too small.
        """
        needed = self.bytes_on_disk - bytes_written
        if needed > self.bytes_free:
            raise StoreError(
                f"the capture needs {_size(needed)} on disk",
                found=f"{_size(self.bytes_free)} are free",
                hint="free some space, capture fewer sites or tokens, or write bfloat16",
            )
        if self.buffer_bytes > self.bytes_available:
            raise StoreError(
                f"the capture needs {_size(self.buffer_bytes)} of memory for its buffers",
                found=f"{_size(self.bytes_available)} are available",
                hint="lower shard_megabytes or shard_sequences",
            )

    def describe(self) -> str:
        """One line for people."""
        disk = f" and {_size(self.write_speed)}/s to disk" if self.write_speed else ""
        return (
            f"{self.rows:,} rows at {len(self.shapes)} sites in {self.shards:,} files: "
            f"{_size(self.bytes_on_disk)} on disk ({_size(self.bytes_free)} free), about "
            f"{_size(self.memory_bytes)} of memory, about {self.seconds:,.0f} s at "
            f"{self.tokens_per_second:,.0f} tokens/s{disk}"
        )


def plan_capture(
    model: HookedModel,
    text: PackedText,
    sites: Sequence[Site | str],
    config: CaptureConfig | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    edits: Sequence[Edit] = (),
) -> CapturePlan:
    """Estimate a capture from one measured warm-up batch and, with a folder, a probe of its disk.

    Raises:
        SiteError: a site that the model lacks or that has no row per token.
        StoreError: there is nothing to capture, or the text is not packed for this model.
    """
    config, progress = config or CaptureConfig(), progress or Silent()
    sites = row_sites(sites)
    if not sites or not len(text):
        raise StoreError("there is nothing to capture", found=f"{len(sites)} sites, {len(text)} sequences")
    refuse_text(model, text)
    progress.phase("warm-up")
    shapes, speed = _warm_up(model, text, sites, config, edits)
    row_bytes = _BYTES[config.dtype] * sum(prod(shape) for shape in shapes.values())
    longest, rows = int(text.lengths.max()), int(text.lengths.sum())
    per_shard = config.shard_sequences or _sequences_per_shard(config, longest, row_bytes)
    per_shard = min(per_shard, len(text))
    shards = -(-len(text) // per_shard)
    header = 4096 + 160 * len(sites)
    text_bytes = _TEXT_BYTES_PER_ROW * rows + _TEXT_BYTES_PER_SEQUENCE * len(text) + header
    bytes_on_disk, bytes_free = rows * row_bytes + shards * header + text_bytes, _free(folder or Path.cwd())
    buffer_bytes = per_shard * longest * row_bytes
    probe = min(bytes_on_disk, _PROBE_BYTES) if folder is not None and bytes_on_disk < bytes_free else 0
    return CapturePlan(
        shapes=shapes,
        rows=rows,
        sequences=len(text),
        shard_sequences=per_shard,
        shards=shards,
        bytes_on_disk=bytes_on_disk,
        bytes_free=bytes_free,
        buffer_bytes=buffer_bytes,
        memory_bytes=psutil.Process().memory_info().rss + buffer_bytes,
        bytes_available=psutil.virtual_memory().available,
        tokens_per_second=speed,
        write_speed=_write_speed(folder, probe) if folder is not None and probe else None,
    )


def row_sites(sites: Sequence[Site | str]) -> tuple[Site, ...]:
    """The distinct sites in the order given.

    Raises:
        SiteError: a site whose tensor has no fixed-size row per token.
    """
    parsed = tuple(dict.fromkeys(Site.parse(site) for site in sites))
    for site in parsed:
        if site.position_axis != 1:
            raise SiteError(
                f"{site} has no row of fixed size per token",
                hint="read it with model.run(tokens, sites=...) on the prompts that you need",
            )
    return parsed


def _warm_up(
    model: HookedModel, text: PackedText, sites: tuple[Site, ...], config: CaptureConfig, edits: Sequence[Edit]
) -> tuple[dict[Site, tuple[int, ...]], float]:
    """Row shapes and real tokens per second; the first pass of a model also loads code, so a short one goes first."""
    group = torch.arange(min(config.batch_sequences, len(text)))
    found = model.capture(batch_of(text, group[:1]), sites, edits)
    shapes = {site: tuple(found[site].shape[2:]) for site in sites}
    batch = batch_of(text, group)
    start = time.perf_counter()
    found = model.capture(batch, sites, edits)
    for tensor in found.values():
        tensor.flatten()[0].item()
    return shapes, int(batch.lengths.sum()) / max(time.perf_counter() - start, 1e-9)


def batch_of(text: PackedText, sequences: torch.Tensor) -> TokenBatch:
    """Some sequences of a text as a batch, cut to the longest of them."""
    lengths = text.lengths[sequences].long()
    return TokenBatch(text.ids[sequences, : int(lengths.max())].long(), lengths)


def _sequences_per_shard(config: CaptureConfig, longest: int, row_bytes: int) -> int:
    rows = min(config.shard_megabytes * 2**20 // row_bytes, MAX_SHARD_ROWS)
    batches = max(1, rows // (longest * config.batch_sequences))
    return batches * config.batch_sequences


def _free(folder: Path) -> int:
    return shutil.disk_usage(_existing(folder)).free


def _write_speed(folder: Path, size: int) -> float:
    """Bytes per second of writing and syncing; the probe has no name, so nothing can stay behind."""
    data = bytes(size)
    try:
        with tempfile.TemporaryFile(dir=_existing(folder)) as file:
            start = time.perf_counter()
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StoreError(f"cannot write in {_existing(folder)}", found=error.strerror, hint="name another") from None
    return size / max(time.perf_counter() - start, 1e-9)


def _existing(folder: Path) -> Path:
    folder = Path(folder).absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"
