"""Things made once and kept in the cache: one process makes them, others wait, and they are whole or not there."""

import errno
import logging
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from workbench.core import Artifact, ArtifactError, Manifest, content_hash, read_artifact, write_json

log = logging.getLogger(__name__)


def build_once(folder: Path, kind: str, build: Callable[[Path], Manifest]) -> Artifact:
    """Open the artifact at `folder`, or let `build` fill an empty folder and put it there under a manifest.

    `build` writes its files into the folder it is given and returns the manifest.

    Raises:
        ArtifactError: the disk is full or cannot be written, or a newer version wrote the folder.
    """
    if found := _open(folder, kind):
        return found
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if found := _open(folder, kind):
            return found
        for stale in folder.parent.glob(f".{folder.name}.*.tmp"):
            shutil.rmtree(stale, ignore_errors=True)
        staging = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            staging.mkdir()
            manifest = build(staging)
            manifest = manifest.model_copy(update={"kind": kind, "content_hash": content_hash(staging)})
            write_json(staging / "manifest.json", manifest.model_dump(mode="json"))
            _sync(staging)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(staging, folder)
        except OSError as error:
            if error.errno is None:
                raise
            hint = "free some space or set WORKBENCH_CACHE to another disk" if error.errno == errno.ENOSPC else None
            raise ArtifactError(f"cannot write {folder}", found=error.strerror, hint=hint) from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return read_artifact(folder, kind)


def _open(folder: Path, kind: str) -> Artifact | None:
    if not (folder / "manifest.json").exists():
        return None
    return read_artifact(folder, kind)


def _sync(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
