"""Source: the files of a checkpoint that someone else wrote, read with bounds."""

import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from workbench.core import ArtifactError, file_sha256

from .numpy_file import read_npz
from .safetensors_file import read_safetensors
from .stored import Tensors
from .torch_file import read_checkpoint, tensors_of

MAX_FILES = 20_000
MAX_TEXT = 4 << 20
_LICENCE = re.compile(r"^licen[sc]e: *[\"']?([\w.+-]{2,60})[\"']? *$", re.MULTILINE)
_PICKLES = (".pt", ".pth", ".pkl", ".pkl.gz", ".bin")


class Source:
    """A folder or one file of weights, with what lies beside it.

    Attributes:
        path: the folder, or the file.
        folder: where its companions are looked for.
        files: names below the folder (with forward slashes); only its own name for a file.
        label: what errors and manifests call it.
        card: the folder whose README.md describes it: its own, or the top of the repository it came from.
    """

    def __init__(self, path: Path, label: str = "", card: Path | None = None) -> None:
        self.path, self.label = Path(path), label or str(path)
        if not self.path.exists():
            raise ArtifactError(f"there is nothing at {path}", hint="give a folder, a file or hf:org/repo/path")
        self.is_file = self.path.is_file()
        self.folder = self.path.parent if self.is_file else self.path
        self.files: tuple[str, ...] = (self.path.name,) if self.is_file else self._listing()
        self.card = card or self.folder
        self.used: set[str] = set()
        self.opened: list[Tensors] = []
        self._checkpoints: dict[tuple[str, frozenset[str]], Any] = {}

    def _listing(self) -> tuple[str, ...]:
        found: list[str] = []
        for depth in ("*", "*/*", "*/*/*"):
            for path in self.path.glob(depth):
                if path.is_file() and not any(part.startswith(".") for part in path.relative_to(self.path).parts):
                    found.append(path.relative_to(self.path).as_posix())
                if len(found) > MAX_FILES:
                    raise ArtifactError(f"{self.label} holds more than {MAX_FILES:,} files", hint="name a subfolder")
        return tuple(sorted(found))

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def under(self, name: str) -> "Source":
        """A subfolder as a source of its own."""
        return Source(self.path / name, f"{self.label}/{name}", self.card)

    @property
    def name(self) -> str:
        return self.path.name

    def one(self, *endings: str) -> str | None:
        """The only file of the top level whose name ends so; None if there is none or several."""
        found = [name for name in self.files if "/" not in name and name.lower().endswith(endings)]
        return found[0] if len(found) == 1 else None

    def has(self, name: str) -> bool:
        """Whether a companion lies in the folder, for a single file too."""
        return (self.folder / name).is_file()

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object.

        Raises:
            ArtifactError: missing, too long, no JSON, or no object.
        """
        try:
            value = json.loads(self.text(name), parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            raise ArtifactError(f"{self.label}/{name} is no JSON", found=str(error)[:120]) from None
        return _object(value, f"{self.label}/{name}")

    def yaml(self, name: str) -> dict[str, Any]:
        """A YAML mapping without anchors, which could make it grow.

        Raises:
            ArtifactError: missing, too long, no YAML, or no mapping.
        """
        text = self.text(name)
        try:
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
                raise ArtifactError(f"{self.label}/{name} uses YAML aliases, which are not read")
            value = yaml.safe_load(text)
        except (
            yaml.YAMLError,
            ValueError,
            RecursionError,
            TypeError,
            KeyError,
            AttributeError,
            OverflowError,
        ) as error:
            raise ArtifactError(f"{self.label}/{name} is no YAML", found=str(error).split("\n")[0][:120]) from None
        return _object(value, f"{self.label}/{name}")

    def text(self, name: str, limit: int = MAX_TEXT) -> str:
        """A text file of bounded size.

        Raises:
            ArtifactError: missing, too long, or not UTF-8.
        """
        path = self.folder / name
        try:
            if path.stat().st_size > limit:
                raise ArtifactError(f"{self.label}/{name} is too long", found=f"{path.stat().st_size:,} bytes")
            found = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ArtifactError(f"{self.label} wants a file {name}", found=self.summary()) from None
        except (OSError, UnicodeDecodeError) as error:
            raise ArtifactError(f"cannot read {self.label}/{name}", found=str(error)[:120]) from None
        self.used.add(name)
        return found

    def tensors(self, name: str) -> Tensors:
        """The tensors of a file, by its ending.

        Raises:
            ArtifactError: see the readers.
        """
        if name.endswith(_PICKLES):
            found = tensors_of(self.checkpoint(name), f"{self.label}/{name}")
        else:
            found = (read_npz if name.endswith(".npz") else read_safetensors)(self.folder / name)
        self.used.add(name)
        self.opened.append(found)
        return found

    def checkpoint(self, name: str, records: Collection[str] = ()) -> Any:
        """What a pickle holds, through the restricted reader; read once, and refused once."""
        key = name, frozenset(records)
        if key not in self._checkpoints:
            try:
                self._checkpoints[key] = read_checkpoint(self.folder / name, records)
            except ArtifactError as error:
                self._checkpoints[key] = error
        found = self._checkpoints[key]
        if isinstance(found, ArtifactError):
            raise found
        self.used.add(name)
        return found

    def licence(self) -> str:
        """The licence that the model card names, `see LICENSE` for a file of that name, else `unknown`."""
        for path in (self.folder / "README.md", self.card / "README.md"):
            if path.is_file() and path.stat().st_size <= MAX_TEXT:
                text = path.read_text(encoding="utf-8", errors="replace")
                if text.startswith("---") and (match := _LICENCE.search(text.split("\n---", 1)[0])):
                    return match[1]
        return "see LICENSE" if any((self.card / name).is_file() for name in ("LICENSE", "LICENSE.md")) else "unknown"

    def hashes(self) -> dict[str, str]:
        """sha256 of every file that was read."""
        return {name: file_sha256(self.folder / name) for name in sorted(self.used)}

    def summary(self) -> str:
        """What lies there, in one phrase."""
        if not self.files:
            return "an empty folder"
        shown = ", ".join(name[:60] for name in self.files[:8])
        return f"{len(self.files)} file(s): {shown}{', ...' if len(self.files) > 8 else ''}"


def whole(config: dict[str, Any], key: str, where: str, default: int | None = None) -> int:
    """A whole number above 0 from untrusted settings.

    Raises:
        ArtifactError: missing without default, or anything else.
    """
    value = config.get(key, default)
    if type(value) is not int or not 0 < value < 2**40:
        raise ArtifactError(f"{where} wants a whole number {key}", found=f"found {str(value)[:40]}")
    return value


def positive(config: dict[str, Any], key: str, where: str) -> float:
    """A number above 0, of a size that float32 holds, from untrusted settings.

    Raises:
        ArtifactError: missing, or anything else.
    """
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1e-30 < value < 1e30:
        raise ArtifactError(f"{where} wants a number {key} above 0", found=f"found {str(value)[:40]}")
    return float(value)


def flag(config: dict[str, Any], key: str, where: str, default: bool = False) -> bool:
    """True or false from untrusted settings.

    Raises:
        ArtifactError: anything else.
    """
    value = config.get(key, default)
    if not isinstance(value, bool):
        raise ArtifactError(f"{where} wants true or false for {key}", found=f"found {str(value)[:40]}")
    return value


def part(config: dict[str, Any], key: str) -> dict[str, Any]:
    """A nested object of settings; empty where there is none."""
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def text(config: dict[str, Any], *keys: str) -> str | None:
    """The first of some settings that is a short text."""
    for key in keys:
        value = config.get(key)
        if isinstance(value, str) and 0 < len(value) <= 300:
            return value
    return None


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ArtifactError(f"{where} wants named settings", found=f"found {type(value).__name__}")
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")
