"""The run's record: one line of JSON for each dictionary and chunk."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workbench.core import ArtifactError, write_bytes


class MetricsLog:
    """Appends records to `metrics.jsonl`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rewind(self, next_chunk: int) -> None:
        """Forget what was written after the checkpoint from which the run goes on (a torn last line too)."""
        kept = [record for record in self.read() if record["chunk"] < next_chunk]
        write_bytes(self.path, "".join(_line(record) for record in kept).encode())

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Add records.

        Raises:
            ArtifactError: the disk is full or the place cannot be written.
        """
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("".join(_line(record) for record in records))
        except OSError as error:
            raise ArtifactError(f"cannot write {self.path}", found=error.strerror) from None

    def read(self) -> list[dict[str, Any]]:
        """Every whole record."""
        if not self.path.exists():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                break
        return records

    def last(self) -> list[dict[str, Any]]:
        """The last record of every dictionary."""
        return list({record["dictionary"]: record for record in self.read()}.values())


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, sort_keys=True) + "\n"
