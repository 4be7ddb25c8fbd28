"""The three places: the cache (fetched things), the workspace (the user's work), the shipped artifacts."""

import os
import shutil
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Where fetched models and text lie: WORKBENCH_CACHE, else the user's cache folder."""
    override = os.environ.get("WORKBENCH_CACHE")
    return Path(override).expanduser() if override else Path(platformdirs.user_cache_dir("workbench", appauthor=False))


def workspace_folder(path: Path | str | None = None) -> Path:
    """Where the user's artifacts lie: the argument, else WORKBENCH_HOME, else ./workbench-workspace."""
    return Path(path or os.environ.get("WORKBENCH_HOME") or "workbench-workspace").expanduser().resolve()


def shipped_folder() -> Path:
    """The small artifacts that come with the package: inside the wheel, or `artifacts/` of a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "shipped_artifacts"
    return installed if installed.is_dir() else package.parent / "artifacts"


def folder_bytes(folder: Path) -> int:
    """Bytes of every file below a folder; 0 when it is not there."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            path = os.path.join(root, name)
            if not os.path.islink(path):
                total += os.path.getsize(path)
    return total


def clear_cache() -> int:
    """Delete what was fetched; all of it can be fetched again. Returns the bytes freed."""
    folder = cache_folder()
    held = folder_bytes(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return held - folder_bytes(folder)
