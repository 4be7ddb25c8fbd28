"""Text from the user's own files: .txt, .jsonl and .parquet, alone or in a folder."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workbench.core import TextError, file_sha256

from .corpus import Corpus, Document

SUFFIXES = (".txt", ".jsonl", ".parquet")
_COLUMNS = ("text", "content", "document")


def open_files(path: Path) -> Corpus:
    """A file or every readable file below a folder, in the order of their names.

    A .txt file is one document. Records of .jsonl and .parquet are one document each: their field `text` (or
    `content`, `document`), named by their field `id` if they have one.

    Raises:
        TextError: no such kind of file, or an empty folder.
    """
    root = path if path.is_dir() else path.parent
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix.lower() in SUFFIXES)
        if not files:
            raise TextError(f"no text in {path}", hint=f"files end in {', '.join(SUFFIXES)}")
    elif path.suffix.lower() in SUFFIXES:
        files = [path]
    else:
        raise TextError(f"cannot read {path} as text", hint=f"files end in {', '.join(SUFFIXES)}")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(root).as_posix()}\0{file_sha256(file)}\n".encode())
    return Corpus(
        name=str(path),
        hash=digest.hexdigest(),
        read=lambda: (document for file in files for document in read_file(file, file.relative_to(root).as_posix())),
        source=f"{len(files)} file(s) of the user's",
    )


def read_file(file: Path, name: str) -> Iterator[Document]:
    """The documents of one file, named after it.

    Raises:
        TextError: the file cannot be read, with the line or record where it fails.
    """
    read = {".txt": _read_plain, ".jsonl": _read_jsonl, ".parquet": _read_parquet}[file.suffix.lower()]
    try:
        yield from read(file, name)
    except UnicodeDecodeError as error:
        raise TextError(f"{file} is not UTF-8", found=f"byte {error.start}: {error.reason}") from None
    except OSError as error:
        raise TextError(f"cannot read {file}", found=error.strerror or str(error)) from None


def _read_plain(file: Path, name: str) -> Iterator[Document]:
    if text := file.read_text(encoding="utf-8"):
        yield name, text


def _read_jsonl(file: Path, name: str) -> Iterator[Document]:
    with open(file, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise TextError(f"{file}, line {number} is not JSON", found=str(error)) from None
            if not isinstance(record, dict):
                raise TextError(f"{file}, line {number}: wanted a record with a text", found=type(record).__name__)
            yield from read_record(record, f"{name}#{number}", f"{file}, line {number}")


def _read_parquet(file: Path, name: str) -> Iterator[Document]:
    import pyarrow
    import pyarrow.parquet as parquet

    number = 0
    try:
        table = parquet.ParquetFile(file)
        wanted = [column for column in (*_COLUMNS, "id") if column in table.schema_arrow.names]
        if wanted in ([], ["id"]):
            raise TextError(f"{file} has no column `text`", found=f"columns: {', '.join(table.schema_arrow.names)}")
        for batch in table.iter_batches(1024, columns=wanted):
            for record in batch.to_pylist():
                number += 1
                yield from read_record(record, f"{name}#{number}", f"{file}, record {number}")
    except pyarrow.ArrowException as error:
        raise TextError(f"cannot read {file} as parquet", found=str(error).splitlines()[0]) from None


def read_record(record: dict[str, Any], name: str, where: str) -> Iterator[Document]:
    """The document of one record; an empty text gives none.

    Raises:
        TextError: the record has no text.
    """
    column = next((column for column in _COLUMNS if column in record), None)
    if column is None:
        raise TextError(f"{where} has no field `text`", found=f"fields: {', '.join(map(str, record))}")
    text = record[column]
    if not isinstance(text, str | None):
        raise TextError(f"{where}: the field `{column}` is no text", found=type(text).__name__)
    if text:
        identity = record.get("id")
        yield (name if identity in (None, "") else str(identity)), text
