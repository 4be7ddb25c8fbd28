"""The Hugging Face hub: `hf:org/repo/path@revision` to read from, `hf:org/repo/path` to write to."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workbench.core import ConfigError, FetchError, Progress, Silent

from .source import Source

PREFIX = "hf:"
_REFERENCE = re.compile(r"hf:(?://)?(?P<repo>[\w.-]+/[\w.-]+)(?:/(?P<path>[^@]*[^@/]))?/?(?:@(?P<revision>[\w./-]+))?")
_ENDINGS = ("safetensors", "pt", "pth", "npz", "pkl.gz", "json", "yaml")
_BESIDE = ("cfg.json", "config.json", "config.yaml", "hyperparams.json")


@dataclass(frozen=True)
class HubRef:
    """A place on the hub."""

    repo: str
    path: str = ""
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> "HubRef":
        """Read `hf:org/repo`, `hf:org/repo/path` or either with `@revision`.

        Raises:
            ConfigError: anything else, or a path that climbs.
        """
        match = _REFERENCE.fullmatch(text.strip())
        path = (match["path"] or "") if match else ""
        if not match or any(part in ("", ".", "..") for part in path.split("/") if path):
            raise ConfigError(f"cannot read the place {text!r} on the hub", hint="write hf:org/repo/path")
        return cls(match["repo"], path, match["revision"])

    def __str__(self) -> str:
        return PREFIX + "/".join(part for part in (self.repo, self.path) if part)

    def patterns(self) -> list[str]:
        """Which files are wanted: weights and settings below the path, what lies beside a single file, the card."""
        cards = ["README.md", "LICENSE", "LICENSE.md"]
        if self.path.endswith(_ENDINGS):
            folder = self.path.rpartition("/")[0]
            beside = [f"{folder}/{name}".lstrip("/") for name in _BESIDE]
            return [self.path, *beside, *cards]
        root = f"{self.path}/" if self.path else ""
        run = f"{self.path.rpartition('/')[0]}/config.json".lstrip("/")  # a run's settings lie above its folders
        return [*(f"{root}*.{ending}" for ending in _ENDINGS), f"{root}README.md", run, *cards]


def fetch(reference: str, offline: bool = False, progress: Progress | None = None) -> Source:
    """A place on the hub as a Source, downloaded unless it is cached; its label names the commit.

    Raises:
        ConfigError: no such repository, or no such path in it.
        FetchError: the hub cannot be reached, refuses, or is switched off and nothing is cached.
    """
    from huggingface_hub import snapshot_download

    ref = HubRef.parse(reference)
    (progress or Silent()).phase(f"fetch {ref}")
    with _mapped(ref, "cannot fetch"):
        root = Path(
            snapshot_download(ref.repo, revision=ref.revision, allow_patterns=ref.patterns(), local_files_only=offline)
        )
    place = root / ref.path
    if not place.exists():
        found = sorted(path.name for path in root.iterdir())[:8]
        raise ConfigError(
            f"{PREFIX}{ref.repo} has nothing at {ref.path}", found=", ".join(found) or "nothing that is read"
        )
    return Source(place, f"{ref}@{root.name[:12]}", card=root)


def upload(folder: Path, reference: str, private: bool = False, progress: Progress | None = None) -> str:
    """Upload a folder to the hub, making the repository if it is not there; returns the address of the commit.

    Raises:
        ConfigError: a place that cannot be written to.
        FetchError: not logged in, no permission, or the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    ref = HubRef.parse(reference)
    if ref.revision is not None:
        raise ConfigError(f"cannot push to the revision {ref.revision}", hint="leave it out; a push makes a new commit")
    (progress or Silent()).phase(f"push to {ref}")
    api = HfApi()
    with _mapped(ref, "cannot push to"):
        api.create_repo(ref.repo, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=ref.repo, folder_path=folder, path_in_repo=ref.path or None,
            commit_message="Add sparse dictionaries", ignore_patterns=[".*"],
        )  # fmt: skip
    return str(getattr(done, "commit_url", done))


@contextmanager
def _mapped(ref: HubRef, what: str) -> Iterator[None]:
    """The hub's errors as ours, and no progress bars of its own."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        LocalTokenNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    bars, logger = not are_progress_bars_disabled(), logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        yield
    except GatedRepoError:
        raise FetchError(
            f"{PREFIX}{ref.repo} asks you to accept its licence",
            hint=f"open https://huggingface.co/{ref.repo}, accept, and log in with `hf auth login`",
        ) from None
    except (RepositoryNotFoundError, RevisionNotFoundError, HFValidationError) as error:
        kind = "revision" if isinstance(error, RevisionNotFoundError) else "repository"
        raise ConfigError(
            f"the hub has no {kind} for {ref}", hint="is it private? then log in with `hf auth login`"
        ) from None
    except LocalTokenNotFoundError:
        raise FetchError(f"{what} {ref}", found="you are not logged in", hint="`hf auth login`") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FetchError(f"{what} {ref}", found=first[:200], hint="check the network and your rights there") from None
    finally:
        logger.setLevel(level)
        if bars:
            enable_progress_bars()
