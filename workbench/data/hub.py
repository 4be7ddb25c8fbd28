"""`hf:dataset[:config[:split]]`: text through Hugging Face's `datasets`, which is optional."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.core import FetchError, Progress, TextError
from workbench.workspace import switch_off_telemetry

from .corpus import Corpus, Document
from .files import read_record


def open_dataset(name: str, offline: bool, progress: Progress) -> Corpus:
    """A data set of the hub, or a local folder of the same layout after `hf:`.

    Raises:
        TextError: `datasets` is not installed, the name cannot be read, or the data set holds no text.
        FetchError: it is not cached and cannot be downloaded.
    """
    switch_off_telemetry()
    try:
        import datasets
        from datasets.exceptions import DatasetsError
    except ImportError:
        raise TextError(f"{name} needs the package `datasets`", hint="pip install datasets") from None
    path, config, split = _parse(name)
    local = Path(path).expanduser().is_dir()
    datasets.disable_progress_bars()
    progress.phase(f"open {name}")
    try:
        data: Any = datasets.load_dataset(
            str(Path(path).expanduser()) if local else path,
            config,
            split=split,
            download_config=datasets.DownloadConfig(local_files_only=offline and not local),
        )
    except (ValueError, TypeError) as error:  # unknown config or split, unreadable files
        raise TextError(f"cannot open {name}", found=_first_line(error), hint="hf:dataset:config:split") from None
    except (OSError, DatasetsError) as error:
        hint = "it is not cached and the network is switched off" if offline else "check the name and the network"
        raise FetchError(f"cannot open {name}", found=_first_line(error), hint=hint) from None
    return Corpus(
        name=name,
        hash=data._fingerprint,
        read=lambda: _read(data, name),
        licence=str(data.info.license or "unknown"),
        source=f"Hugging Face data set {path}",
    )


def _parse(name: str) -> tuple[str, str | None, str]:
    parts = name.removeprefix("hf:").split(":")
    if not parts[0] or len(parts) > 3:
        raise TextError(f"cannot read the text name {name!r}", hint="write hf:dataset, hf:dataset:config:split")
    path, config, split = [*parts, "", ""][:3]
    return path, config or None, split or "train"


def _read(data: Any, name: str) -> Iterator[Document]:
    for number, record in enumerate(data, 1):
        yield from read_record(record, f"{number}", f"{name}, record {number}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
