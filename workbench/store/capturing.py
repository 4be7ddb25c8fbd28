"""Capture: stream a model over packed text into an activation store."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from workbench.core import Edit, Interrupted, Progress, Silent, Site, StoreError
from workbench.data import PackedText
from workbench.models import HookedModel

from .config import CaptureConfig
from .plan import batch_of, plan_capture
from .record import Record, begin, describe_capture
from .shards import Shard, write_tensors
from .store import ActivationStore, open_store

_log = logging.getLogger(__name__)
_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def capture(
    model: HookedModel,
    text: PackedText,
    sites: Sequence[Site | str],
    folder: Path,
    config: CaptureConfig | None = None,
    progress: Progress | None = None,
    edits: Sequence[Edit] = (),
) -> ActivationStore:
    """Write the activations at `sites` of every position of `text`, masked ones too, in one pass.

    Complete shards survive a kill at any moment; called again with the same things it keeps them, discards a
    half-written one, and ends with the same bytes as an uninterrupted run on the same machine and threads. An
    interrupt or `progress.cancelled()` returns a store that is flagged partial.

    Raises:
        StoreError: disk or memory are too small, the folder holds something else, or it is in use.
        Interrupted: cancelled before the first shard was whole.
    """
    folder, config, progress = Path(folder), config or CaptureConfig(), progress or Silent()
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StoreError(f"another process is capturing into {folder}", hint="wait for it or name another") from None
    except OSError as error:
        raise StoreError(f"cannot write in {folder.parent}", found=error.strerror, hint="name another folder") from None
    try:
        return _capture(model, text, sites, folder, config, progress, edits)
    finally:
        lock.release()


def _capture(
    model: HookedModel,
    text: PackedText,
    sites: Sequence[Site | str],
    folder: Path,
    config: CaptureConfig,
    progress: Progress,
    edits: Sequence[Edit],
) -> ActivationStore:
    plan = plan_capture(model, text, sites, config, folder, progress, edits)
    _log.info("%s", plan.describe())
    progress.partial(plan)
    plan.check(bytes_written=_bytes_below(folder))
    record = begin(folder, describe_capture(model, text, config, plan, edits, folder.name), text)
    rows = plan.shard_sequences * int(text.lengths.max())
    buffers = {site: torch.empty(rows, *shape, dtype=_DTYPES[config.dtype]) for site, shape in plan.shapes.items()}
    try:
        _capture_missing(record, buffers, model, text, config.batch_sequences, edits, progress)
    except KeyboardInterrupt:
        _log.info("interrupted: %s is partial", folder)
    if not record.done:
        raise Interrupted(f"the capture into {folder} was cancelled before anything was whole")
    return open_store(folder)


def _capture_missing(
    record: Record,
    buffers: dict[Site, Tensor],
    model: HookedModel,
    text: PackedText,
    batch_sequences: int,
    edits: Sequence[Edit],
    progress: Progress,
) -> None:
    missing = record.missing()
    progress.phase("capture", sum(shard.rows for shard in missing), "tokens")
    for shard in missing:
        start = time.perf_counter()
        lengths = text.lengths[shard.first_sequence : shard.stop_sequence]
        # Sequences of like length share a batch; batches never cross shards, so a shard depends on nothing before it.
        order = shard.first_sequence + torch.argsort(lengths, descending=True, stable=True)
        for group in order.split(batch_sequences):
            if progress.cancelled():
                return
            _fill(buffers, model, text, shard, group, edits)
            progress.advance(int(text.lengths[group].sum()))
        tensors = {str(site): buffer[: shard.rows] for site, buffer in buffers.items()}
        record.add(shard, *write_tensors(record.folder / shard.file, tensors))
        _log.debug("%s: %.0f tokens/s", shard.file, shard.rows / (time.perf_counter() - start))


def _fill(
    buffers: dict[Site, Tensor],
    model: HookedModel,
    text: PackedText,
    shard: Shard,
    group: Tensor,
    edits: Sequence[Edit],
) -> None:
    """Run one batch and lay its rows where they belong in the shard."""
    lengths = text.lengths[shard.first_sequence : shard.stop_sequence].long()
    starts = (lengths.cumsum(0) - lengths)[group - shard.first_sequence].tolist()
    sizes = text.lengths[group].tolist()
    found = model.capture(batch_of(text, group), tuple(buffers), edits)
    for site, buffer in buffers.items():
        values = found[site]
        if values.device.type != "cpu":
            values = values.to(buffer.dtype).cpu()
        for row, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            buffer[start : start + size].copy_(values[row, :size])


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")) if folder.exists() else 0
