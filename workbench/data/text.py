"""open_text: a name, a file, a folder or a Hugging Face data set -> Corpus."""

from pathlib import Path

from pydantic import Field

from workbench.core import Config, Progress, Silent, TextError, names, nearest
from workbench.workspace import is_offline

from .corpus import Corpus
from .files import SUFFIXES, open_files
from .hub import open_dataset
from .synthetic import open_synthetic
from .wikipedia import LICENCE, NAME as WIKIPEDIA, SOURCE, open_wikipedia


class KnownText(Config):
    """One row of the table of texts."""

    name: str
    licence: str
    source: str
    download: int = Field(default=0, description="bytes to fetch")


def known_texts() -> tuple[KnownText, ...]:
    """Every text that has a name of its own; files, folders and hub data sets work too."""
    wikipedia = KnownText(
        name=WIKIPEDIA,
        licence=LICENCE,
        source="106 articles of English Wikipedia, 2016, about 620,000 tokens; from the package index",
        download=SOURCE.wheel_size,
    )
    made = (KnownText(name=name, licence="CC0-1.0", source="generated from a seed") for name in names("text"))
    return (wikipedia, *made)


def open_text(name: str | Path, *, offline: bool = False, progress: Progress = Silent()) -> Corpus:
    """Open text by name.

    Args:
        name: `wikipedia-sample`; a synthetic text such as `synthetic-sentences` (`:20000` sets the number of
            documents, `:20000:7` the seed too); a .txt, .jsonl or .parquet file or a folder of them; or
            `hf:dataset[:config[:split]]`.
        offline: never touch the network; text that is not cached is then refused.

    Raises:
        TextError: unknown name, nothing readable, or a damaged file.
        FetchError: a download failed.
    """
    name, offline = str(name), is_offline(offline)
    if name == WIKIPEDIA:
        return open_wikipedia(offline, progress)
    if name.startswith("hf:"):
        return open_dataset(name, offline, progress)
    if name.split(":")[0] in names("text"):
        return open_synthetic(name)
    path = Path(name).expanduser()
    if path.exists():
        return open_files(path)
    if path.suffix.lower() in SUFFIXES or "/" in name or "\\" in name:
        raise TextError(f"no text at {name}", found="no such file or folder", hint="check the path")
    raise TextError(
        f"unknown text {name!r}",
        hint=f"a file, a folder and hf:dataset work too; {nearest(name, [text.name for text in known_texts()])}",
    )
