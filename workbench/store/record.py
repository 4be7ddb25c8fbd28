"""Record: the manifest of a store while it grows; after every shard it says what is whole on the disk."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from workbench.core import (
    ArtifactError,
    Edit,
    Manifest,
    Site,
    StoreError,
    file_sha256,
    read_artifact,
    write_json,
)
from workbench.data import PackedText
from workbench.models import HookedModel

from .config import CaptureConfig
from .plan import CapturePlan
from .shards import Shard, partition, remove_unfinished
from .text_index import special_ids, write_text_index

MANIFEST = "manifest.json"
_log = logging.getLogger(__name__)


@dataclass
class Record:
    """What has been captured into a folder, and what is missing."""

    folder: Path
    manifest: Manifest
    shards: list[Shard]
    done: dict[int, Shard] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def missing(self) -> list[Shard]:
        """Shards still to be captured, in order."""
        return [shard for shard in self.shards if shard.number not in self.done]

    def add(self, shard: Shard, sha256: str, size: int) -> None:
        """A shard is whole on the disk: say so on the disk."""
        self.done[shard.number] = replace(shard, sha256=sha256, bytes=size)
        self.write()

    def write(self) -> None:
        """Write the manifest: partial until every shard is there, then with the content hash."""
        shards = [self.done[number] for number in sorted(self.done)]
        whole = len(shards) == len(self.shards)
        content = content_hash({**self.files, **{shard.file: shard.sha256 for shard in shards}}) if whole else ""
        details = {**self.manifest.details, "files": self.files, "shards": [shard.to_json() for shard in shards]}
        update: dict[str, Any] = {"details": details, "partial": not whole, "content_hash": content}
        self.manifest = self.manifest.model_copy(update=update)
        write_json(self.folder / MANIFEST, self.manifest.model_dump(mode="json"))


def content_hash(files: Mapping[str, str]) -> str:
    """The artifact's content hash from recorded file hashes, without reading the files again."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{files[name]}\n".encode())
    return digest.hexdigest()


def describe_capture(
    model: HookedModel,
    text: PackedText,
    config: CaptureConfig,
    plan: CapturePlan,
    edits: Sequence[Edit],
    name: str,
) -> Manifest:
    """The manifest of a capture before its first shard."""
    return Manifest(
        kind="store",
        name=name,
        model=model.ref,
        text=text.ref,
        mask=model.policy,
        edits=tuple(edit.to_json() for edit in edits),
        partial=True,
        config=config.model_dump(mode="json"),
        details={
            "sites": {str(site): list(shape) for site, shape in plan.shapes.items()},
            "rows": plan.rows,
            "sequences": plan.sequences,
            "shard_sequences": plan.shard_sequences,
            "special_ids": list(special_ids(model)),
            "licence_url": text.licence_url,
        },
    )


def begin(folder: Path, wanted: Manifest, text: PackedText) -> Record:
    """Start a store, or take up what an interrupted capture of the same things left.

    Shards that were recorded are hashed and kept; one that does not match is captured again.

    Raises:
        StoreError: the folder holds something else, or another capture; both are named.
    """
    shards = partition(text.lengths, wanted.details["shard_sequences"])
    if (folder / MANIFEST).exists():
        found = _read(folder)
        refuse_other_capture(folder, found, wanted)
        record = Record(folder, found, shards, _intact_shards(folder, found), dict(found.details.get("files", {})))
    else:
        if folder.exists() and any(not path.name.endswith(".tmp") for path in folder.iterdir()):
            raise StoreError(f"{folder} is no store and is not empty", hint="name another folder")
        folder.mkdir(parents=True, exist_ok=True)
        record = Record(folder, wanted, shards)
        record.write()
    remove_unfinished(folder)
    if not record.files or any(not _matches(folder / name, sha256) for name, sha256 in record.files.items()):
        record.files = write_text_index(folder, text)
        record.write()
    return record


def _read(folder: Path) -> Manifest:
    try:
        return read_artifact(folder, "store").manifest
    except ArtifactError as error:
        raise StoreError(str(error)) from None


def _matches(path: Path, sha256: str) -> bool:
    return path.exists() and file_sha256(path) == sha256


def _intact_shards(folder: Path, manifest: Manifest) -> dict[int, Shard]:
    if manifest.threads != torch.get_num_threads():
        _log.warning(
            "%s was begun with %d threads, now %d: the last bits of new rows may differ",
            folder,
            manifest.threads,
            torch.get_num_threads(),
        )
    intact = {}
    for shard in map(Shard.from_json, manifest.details.get("shards", ())):
        if shard.intact(folder):
            intact[shard.number] = shard
        else:
            _log.warning("%s is damaged and will be captured again", folder / shard.file)
    return intact


def refuse_other_capture(folder: Path, found: Manifest, wanted: Manifest) -> None:
    """Refuse to mix two captures in one folder.

    Raises:
        StoreError: naming the first thing that differs, on both sides.
    """
    for what in ("model", "text", "mask", "edits", "config"):
        if getattr(found, what) != getattr(wanted, what):
            raise StoreError(
                f"{folder} holds another capture: its {what} is {_short(getattr(found, what))}",
                found=f"wanted {_short(getattr(wanted, what))}",
                hint="name another folder, or remove this one",
            )
    for what in ("sites", "rows", "sequences", "shard_sequences", "special_ids"):
        if found.details.get(what) != wanted.details[what]:
            raise StoreError(
                f"{folder} holds another capture: its {what} are {_short(found.details.get(what))}",
                found=f"wanted {_short(wanted.details[what])}",
                hint="name another folder, or remove this one",
            )


def _short(value: Any) -> str:
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if isinstance(value, Site | str):
        return str(value)
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
