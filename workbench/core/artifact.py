"""The one door to disk: artifact folders of manifest.json, JSON and safetensors, written atomically."""

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError

from .errors import ArtifactError
from .manifest import SCHEMA, Manifest

MANIFEST = "manifest.json"
TENSORS = "tensors.safetensors"


@dataclass(frozen=True)
class Artifact:
    """A folder that was read: its manifest, and its tensors on demand."""

    path: Path
    manifest: Manifest

    def tensors(self, device: str = "cpu") -> dict[str, Any]:
        """Every tensor of the artifact, by name.

        Raises:
            ArtifactError: the file is missing or truncated.
        """
        from safetensors.torch import load_file  # loads torch, which a list of artifacts does without

        path = self.path / TENSORS
        try:
            return load_file(path, device=device)
        except (FileNotFoundError, SafetensorError, ValueError) as error:
            raise ArtifactError(f"cannot read the tensors of {self.path}", found=str(error)) from None

    def json(self, name: str) -> Any:
        """A JSON file of the artifact."""
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"cannot read {name} of {self.path}", found=str(error)) from None

    def verify(self) -> None:
        """Compare the files with the recorded content hash.

        Raises:
            ArtifactError: the content changed after it was written.
        """
        found = content_hash(self.path)
        if found != self.manifest.content_hash:
            raise ArtifactError(
                f"{self.path} does not match its manifest",
                found=f"recorded {self.manifest.content_hash[:12]}, found {found[:12]}",
                hint="make it anew or restore the files",
            )


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file, read in blocks."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(folder: Path) -> str:
    """Hex sha256 over the names and hashes of every file except the manifest."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, sync it, rename it: it is whole or it is not there.

    Raises:
        ArtifactError: the disk is full or the place cannot be written; nothing that was there is lost.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        hint = "free some space or name another folder" if error.errno == 28 else "check that the folder is writable"
        raise ArtifactError(f"cannot write {path}", found=error.strerror, hint=hint) from None


def write_json(path: Path, data: Any) -> None:
    """Write JSON atomically, with sorted keys."""
    text = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def write_artifact(
    folder: Path,
    manifest: Manifest,
    tensors: Mapping[str, Any] | None = None,
    files: Mapping[str, bytes | Any] | None = None,
    fill: Callable[[Path], None] | None = None,
) -> Artifact:
    """Write a whole artifact folder atomically, replacing an older one of that name only when complete.

    `files` maps names to bytes (written as they are) or to anything JSON can hold; `fill` may put more into
    the unfinished folder (other artifacts, for example).

    Raises:
        ArtifactError: see `write_bytes`.
    """
    folder = Path(folder)
    staging = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        if tensors is not None:
            from safetensors.torch import save

            flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            write_bytes(staging / TENSORS, save(flat))
        for name, data in (files or {}).items():
            write = write_bytes if isinstance(data, bytes) else write_json
            write(staging / name, data)
        staging.mkdir(parents=True, exist_ok=True)
        if fill is not None:
            fill(staging)
        manifest = manifest.model_copy(update={"content_hash": content_hash(staging)})
        write_json(staging / MANIFEST, manifest.model_dump(mode="json"))
        _replace_folder(staging, folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return Artifact(folder, manifest)


def _replace_folder(staging: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.old")
    try:
        if folder.exists():
            os.replace(folder, old)
        os.replace(staging, folder)
        _sync(folder.parent)
    except OSError as error:
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        raise ArtifactError(f"cannot write {folder}", found=error.strerror) from None
    shutil.rmtree(old, ignore_errors=True)


def read_artifact(folder: Path, kind: str | None = None) -> Artifact:
    """Open an artifact folder and check its manifest.

    Raises:
        ArtifactError: no such folder, no readable manifest, a newer schema, or another kind than wanted.
    """
    folder = Path(folder)
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(
            f"no artifact at {folder}",
            found=f"there is no {MANIFEST}",
            hint="`workbench artifacts list` names them",
        ) from None
    except (ValueError, OSError) as error:
        raise ArtifactError(f"cannot read the manifest of {folder}", found=str(error)) from None
    number = data.get("schema_number") if isinstance(data, dict) else None
    if isinstance(number, int) and number > SCHEMA:
        raise ArtifactError(
            f"{folder} was written by a newer version",
            found=f"schema {number}, this version reads up to {SCHEMA}",
            hint="upgrade mech-workbench",
        )
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtifactError(
            f"the manifest of {folder} is not valid",
            found=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
        ) from None
    if kind is not None and manifest.kind != kind:
        raise ArtifactError(f"wanted a {kind} at {folder}", found=f"found a {manifest.kind}")
    return Artifact(folder, manifest)
