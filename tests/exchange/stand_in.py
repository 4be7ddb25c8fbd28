"""A hub in a folder: what `huggingface_hub` would download from and upload to."""

import shutil
from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

COMMIT = "0123456789abcdef" * 2 + "01234567"


class HubInAFolder:
    """Repositories are folders `org/repo`; a download is a snapshot of symbolic links, as in the real cache."""

    def __init__(self, root: Path) -> None:
        self.root, self.cache = root / "hub", root / "cache"
        self.asked: list[list[str]] = []
        self.online = True

    def snapshot_download(self, repo, revision=None, allow_patterns=None, local_files_only=False, **_):
        snapshot = self.cache / repo / (revision or COMMIT)
        if local_files_only:
            if not snapshot.exists():
                raise LocalEntryNotFoundError("not cached")
            return str(snapshot)
        self._reach(repo)
        self.asked.append(allow_patterns)
        for path in sorted(p for p in (self.root / repo).rglob("*") if p.is_file()):
            name = path.relative_to(self.root / repo).as_posix()
            if any(fnmatch(name, pattern) for pattern in allow_patterns) and not (snapshot / name).exists():
                (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
                (snapshot / name).symlink_to(path)
        snapshot.mkdir(parents=True, exist_ok=True)
        return str(snapshot)

    def create_repo(self, repo, private=False, exist_ok=False):
        if not self.online:
            raise OSError("no route to host")
        (self.root / repo).mkdir(parents=True, exist_ok=exist_ok)

    def upload_folder(self, repo_id, folder_path, path_in_repo, commit_message, ignore_patterns):
        self._reach(repo_id)
        shutil.copytree(folder_path, self.root / repo_id / (path_in_repo or ""), dirs_exist_ok=True)
        return f"https://huggingface.co/{repo_id}/commit/{COMMIT}"

    def _reach(self, repo: str) -> None:
        if not self.online:
            raise OSError("no route to host")
        if not (self.root / repo).is_dir():
            raise RepositoryNotFoundError("404", response=_Answer())


class _Answer:
    """The least that the hub's errors ask of an answer."""

    request = None
    status_code = 404
    text = ""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def json(self):
        return {}


def install(monkeypatch: pytest.MonkeyPatch, root: Path) -> HubInAFolder:
    """Put the stand-in where the room looks for the hub."""
    hub = HubInAFolder(root)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    return hub
