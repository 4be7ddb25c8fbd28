"""Labels, pins and views of a workspace in SQLite, safe with the app and a notebook open on one folder."""

import getpass
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.core import Unit

_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (
    id INTEGER PRIMARY KEY, unit TEXT NOT NULL, text TEXT NOT NULL, author TEXT NOT NULL, created TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS labels_unit ON labels (unit, id);
CREATE TABLE IF NOT EXISTS automatic_labels (
    unit TEXT NOT NULL, source TEXT NOT NULL, text TEXT NOT NULL, score REAL NOT NULL, details TEXT NOT NULL,
    created TEXT NOT NULL, PRIMARY KEY (unit, source));
CREATE TABLE IF NOT EXISTS views (
    id TEXT PRIMARY KEY, subject TEXT NOT NULL, state TEXT NOT NULL, author TEXT NOT NULL, changed TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Label:
    """What somebody called a unit, and when.

    Attributes:
        confidence: how sure they were, 0 to 1; None where nobody said. note: why.
    """

    unit: Unit
    text: str
    author: str
    created: str
    confidence: float | None = None
    note: str = ""


@dataclass(frozen=True)
class AutomaticLabel:
    """What a program called a unit; people's labels lie apart and go before it.

    Attributes:
        source: what wrote it (`tokens`, or the name of an explaining model); a unit has one label of each source.
        score: its F1 on held-out text, 0 to 1. details: JSON data: the other scores, the rule behind the words.
    """

    unit: Unit
    text: str
    source: str
    score: float
    details: dict[str, Any] = field(default_factory=dict)
    created: str = ""


@dataclass(frozen=True)
class View:
    """The saved layout of a page on one subject (a graph's content hash, say): pins, groups, dials."""

    id: str
    subject: str
    state: dict[str, Any]
    author: str
    changed: str


class Database:
    """`workbench.db` of a workspace; every call opens its own short transaction (WAL mode)."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "workbench.db"
        with self._connect() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_SCHEMA)
            have = {row[1] for row in connection.execute("PRAGMA table_info(labels)")}
            for column in ("confidence REAL", "note TEXT NOT NULL DEFAULT ''"):
                if column.split()[0] not in have:
                    with suppress(sqlite3.OperationalError):  # another process was faster
                        connection.execute(f"ALTER TABLE labels ADD COLUMN {column}")

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=10)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def set_label(self, unit: Unit, text: str, confidence: float | None = None, note: str = "") -> None:
        """Give a unit a label; earlier labels stay in its history. An empty text takes the label away."""
        row = (str(unit), text, _author(), _now(), confidence, note)
        columns = "(unit, text, author, created, confidence, note)"
        with self._connect() as connection:
            connection.execute(f"INSERT INTO labels {columns} VALUES (?, ?, ?, ?, ?, ?)", row)

    def undo_label(self, unit: Unit) -> Label | None:
        """Take the newest label of a unit back, out of its history too; gives it, None when there was none."""
        with self._connect() as connection:
            found = connection.execute("SELECT MAX(id) FROM labels WHERE unit = ?", (str(unit),)).fetchone()[0]
            if found is None:
                return None
            taken = next(iter(self.label_history(unit)))
            connection.execute("DELETE FROM labels WHERE id = ?", (found,))
        return taken

    def labels(self, artifact: str | None = None) -> dict[Unit, str]:
        """The current label of every labelled unit (of one artifact)."""
        query = "SELECT unit, text FROM labels WHERE id IN (SELECT MAX(id) FROM labels GROUP BY unit)"
        with self._connect() as connection:
            rows = connection.execute(query).fetchall()
        units = ((Unit.parse(unit), text) for unit, text in rows if text)
        return {unit: text for unit, text in units if artifact is None or unit.artifact == artifact}

    def label_history(self, unit: Unit) -> list[Label]:
        """Every label a unit ever had, newest first."""
        query = "SELECT text, author, created, confidence, note FROM labels WHERE unit = ? ORDER BY id DESC"
        with self._connect() as connection:
            rows = connection.execute(query, (str(unit),)).fetchall()
        return [Label(unit, *row) for row in rows]

    def set_automatic_labels(self, labels: Iterable[AutomaticLabel]) -> None:
        """Write what a program called some units; an earlier label of the same source is replaced."""
        made = _now()
        rows = [
            (str(label.unit), label.source, label.text, label.score, json.dumps(label.details, sort_keys=True), made)
            for label in labels
        ]
        with self._connect() as connection:
            connection.executemany("INSERT OR REPLACE INTO automatic_labels VALUES (?, ?, ?, ?, ?, ?)", rows)

    def automatic_labels(self, artifact: str | None = None) -> dict[Unit, AutomaticLabel]:
        """Of every unit (of one artifact) the automatic label with the highest score."""
        query = "SELECT unit, text, source, score, details, created FROM automatic_labels ORDER BY score, source DESC"
        with self._connect() as connection:
            rows = connection.execute(query).fetchall()
        found: dict[Unit, AutomaticLabel] = {}
        for name, text, source, score, details, created in rows:
            unit = Unit.parse(name)
            found[unit] = AutomaticLabel(unit, text, source, score, json.loads(details), created)
        return {unit: label for unit, label in found.items() if artifact is None or unit.artifact == artifact}

    def save_view(self, id: str, subject: str, state: dict[str, Any]) -> None:
        """Save the layout of a page under an id, replacing an older one."""
        row = (id, subject, json.dumps(state, sort_keys=True), _author(), _now())
        with self._connect() as connection:
            connection.execute("INSERT OR REPLACE INTO views VALUES (?, ?, ?, ?, ?)", row)

    def view(self, id: str) -> View | None:
        """A saved layout, None when there is none of that id."""
        with self._connect() as connection:
            row = connection.execute("SELECT * FROM views WHERE id = ?", (id,)).fetchone()
        return View(row[0], row[1], json.loads(row[2]), row[3], row[4]) if row else None

    def views(self, subject: str) -> list[View]:
        """Every saved layout of one subject, the latest changed first."""
        query = "SELECT * FROM views WHERE subject = ? ORDER BY changed DESC, id"
        with self._connect() as connection:
            rows = connection.execute(query, (subject,)).fetchall()
        return [View(row[0], row[1], json.loads(row[2]), row[3], row[4]) for row in rows]

    def remove_view(self, id: str) -> None:
        """Forget a layout."""
        with self._connect() as connection:
            connection.execute("DELETE FROM views WHERE id = ?", (id,))


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
