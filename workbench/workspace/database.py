"""Labels, pins and views of a workspace in SQLite, safe with the app and a notebook open on one folder."""

import getpass
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench.core import Unit

_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (
    id INTEGER PRIMARY KEY, unit TEXT NOT NULL, text TEXT NOT NULL, author TEXT NOT NULL, created TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS labels_unit ON labels (unit, id);
CREATE TABLE IF NOT EXISTS views (
    id TEXT PRIMARY KEY, subject TEXT NOT NULL, state TEXT NOT NULL, author TEXT NOT NULL, changed TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Label:
    """What somebody called a unit, and when."""

    unit: Unit
    text: str
    author: str
    created: str


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

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=10)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def set_label(self, unit: Unit, text: str) -> None:
        """Give a unit a label; earlier labels stay in its history. An empty text takes the label away."""
        row = (str(unit), text, _author(), _now())
        with self._connect() as connection:
            connection.execute("INSERT INTO labels (unit, text, author, created) VALUES (?, ?, ?, ?)", row)

    def labels(self, artifact: str | None = None) -> dict[Unit, str]:
        """The current label of every labelled unit (of one artifact)."""
        query = "SELECT unit, text FROM labels WHERE id IN (SELECT MAX(id) FROM labels GROUP BY unit)"
        with self._connect() as connection:
            rows = connection.execute(query).fetchall()
        units = ((Unit.parse(unit), text) for unit, text in rows if text)
        return {unit: text for unit, text in units if artifact is None or unit.artifact == artifact}

    def label_history(self, unit: Unit) -> list[Label]:
        """Every label a unit ever had, newest first."""
        query = "SELECT text, author, created FROM labels WHERE unit = ? ORDER BY id DESC"
        with self._connect() as connection:
            rows = connection.execute(query, (str(unit),)).fetchall()
        return [Label(unit, *row) for row in rows]

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


def _author() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
