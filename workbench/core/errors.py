"""The family of errors: every message says what was wanted, what was found and what to try."""

from collections.abc import Iterable
from difflib import get_close_matches


class WorkbenchError(Exception):
    """Root of every error that a user can cause or act upon.

    Args:
        wanted: what was asked for, or the whole message when given alone.
        found: what was there instead.
        hint: what to try.
    """

    exit_code = 1

    def __init__(self, wanted: str, found: str | None = None, hint: str | None = None) -> None:
        parts = [wanted.rstrip(".")] + [part.rstrip(".") for part in (found, hint) if part]
        super().__init__("; ".join(parts))


class SiteError(WorkbenchError, ValueError):
    """An address that names no tensor of the model."""


class ShapeError(WorkbenchError, ValueError):
    """A tensor whose shape does not fit where it is used."""


class ConfigError(WorkbenchError, ValueError):
    """A setting, flag or file of settings that cannot be used."""

    exit_code = 2


class ModelError(WorkbenchError, RuntimeError):
    """A model that cannot be found, loaded or run as asked."""


class TextError(WorkbenchError, ValueError):
    """A text or corpus that cannot be found, read or used as asked."""


class FetchError(WorkbenchError, OSError):
    """A download that failed, was refused or did not match its checksum."""


class StoreError(WorkbenchError, OSError):
    """An activation store that cannot be written, read or used with this model."""


class ArtifactError(WorkbenchError, OSError):
    """An artifact folder that is missing, damaged, newer than this version or of another kind."""


class Interrupted(WorkbenchError):
    """Long work that was cancelled before anything usable existed."""

    exit_code = 130


def nearest(name: str, names: Iterable[str], label: str = "known") -> str:
    """A hint that offers the names closest to a misspelt one, or all of them when they are few."""
    names = sorted(set(names))
    close = get_close_matches(name, names, n=3, cutoff=0.5)
    if not close and name:
        holding = [known for known in names if name.lower() in known.lower()]
        close = sorted(holding, key=lambda known: not known.lower().startswith(name.lower()))[:3]
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"{label}: {shown}" if names else f"{label}: none yet"
