"""Workspace: the index of a user's artifacts, folder by folder."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from workbench.core import Artifact, ArtifactError, Manifest, nearest, read_artifact

from .places import folder_bytes, workspace_folder

FOLDERS = ("models", "stores", "dictionaries", "graphs", "subnetworks", "results", "reports", "runs")


@dataclass(frozen=True)
class Entry:
    """One artifact of the workspace. `problem` says why a damaged one cannot be read (then manifest is None)."""

    folder: str
    name: str
    path: Path
    manifest: Manifest | None
    bytes: int
    problem: str = ""


class Workspace:
    """A folder with one subfolder per kind of artifact; each artifact is a folder with a manifest."""

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = workspace_folder(path)

    def __repr__(self) -> str:
        return f"Workspace({self.path})"

    def folder(self, kind: str) -> Path:
        """The subfolder of one kind (see `FOLDERS`); it need not exist yet."""
        if kind not in FOLDERS:
            raise ArtifactError(f"unknown kind of artifact {kind!r}", hint=nearest(kind, FOLDERS))
        return self.path / kind

    def path_of(self, kind: str, name: str) -> Path:
        """Where an artifact of that name lies or would lie.

        Raises:
            ArtifactError: the name would leave the workspace.
        """
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            raise ArtifactError(f"{name!r} cannot name an artifact", hint="use letters, digits, dots and dashes")
        return self.folder(kind) / name

    def list(self, kind: str | None = None) -> list[Entry]:
        """Every artifact (of one kind), newest first; damaged ones carry their problem."""
        entries = []
        for folder in (kind,) if kind else FOLDERS:
            root = self.folder(folder)
            if root.is_dir():
                entries += [self._entry(folder, path) for path in root.iterdir() if self._is_artifact(path)]
        return sorted(entries, key=lambda e: (e.manifest.created if e.manifest else "", e.name), reverse=True)

    def open(self, kind: str, name: str) -> Artifact:
        """Open an artifact by name.

        Raises:
            ArtifactError: there is none of that name (near ones are offered) or it is damaged.
        """
        path = self.path_of(kind, name)
        if not path.is_dir():
            names = [entry.name for entry in self.list(kind)]
            raise ArtifactError(f"no {name!r} in {self.folder(kind)}", hint=nearest(name, names, "there are"))
        return read_artifact(path)

    def remove(self, kind: str, name: str) -> int:
        """Delete an artifact; returns the bytes freed."""
        path = self.open(kind, name).path
        freed = folder_bytes(path)
        shutil.rmtree(path)
        return freed

    def lock(self, name: str) -> FileLock:
        """A lock that two processes on one workspace share."""
        folder = self.path / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{name}.lock")

    @staticmethod
    def _is_artifact(path: Path) -> bool:
        return path.is_dir() and not path.name.startswith(".")

    @staticmethod
    def _entry(folder: str, path: Path) -> Entry:
        try:
            return Entry(folder, path.name, path, read_artifact(path).manifest, folder_bytes(path))
        except ArtifactError as error:
            return Entry(folder, path.name, path, None, folder_bytes(path), str(error))
