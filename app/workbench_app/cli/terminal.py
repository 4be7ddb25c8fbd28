"""What a command shows: figures on standard output, everything else on standard error."""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress as Bars, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from workbench.core import Interruptible

QUIET = "WORKBENCH_QUIET"


def note(text: str) -> None:
    """One line for people, on standard error; nothing under --quiet."""
    if not os.environ.get(QUIET):
        Console(stderr=True, highlight=False, emoji=False, soft_wrap=True).print(text, markup=False)


def print_json(data: Any) -> None:
    """The figures, for scripts; what is no finite number is null."""
    from workbench.core import as_json

    print(json.dumps(as_json(data), indent=1, sort_keys=True, default=str, allow_nan=False))


def print_table(rows: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """Records as a table on standard output; numbers with 3 significant digits."""
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    columns = list(rows[0]) if rows else []
    for column in columns:
        numeric = all(isinstance(row.get(column), int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    Console(highlight=False, emoji=False, markup=False, width=None if sys.stdout.isatty() else 200).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if value == value else "-"
    return str(value)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


class TerminalProgress(Interruptible):
    """Progress in a terminal: a bar on a TTY, a line a phase elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True, highlight=False)
        self._quiet = bool(os.environ.get(QUIET))
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._name, self._began, self._done, self._unit = "", 0.0, 0.0, ""

    def __enter__(self) -> "TerminalProgress":
        super().__enter__()
        if self._console.is_terminal and not self._quiet:
            rate = TextColumn("{task.fields[rate]}")
            columns = (TextColumn("{task.description}"), BarColumn(), rate, TimeElapsedColumn(), TimeRemainingColumn())
            self._bars = Bars(*columns, console=self._console)
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._close_phase()
        if self._bars:
            self._bars.stop()
        super().__exit__(*error)

    def phase(self, name: str, total: float | None = None, unit: str = "") -> None:
        self._close_phase()
        self._name, self._began, self._done, self._unit = name, time.monotonic(), 0.0, unit
        if self._bars:
            self._task = self._bars.add_task(name, total=total, rate="")

    def advance(self, amount: float = 1) -> None:
        self._done += amount
        if self._bars and self._task is not None:
            pace = self._done / max(time.monotonic() - self._began, 1e-3)
            rate = f"{pace:,.0f} {self._unit}/s" if self._unit else ""
            self._bars.update(self._task, advance=amount, rate=rate)

    def partial(self, value: Any) -> None:
        """Estimates are worth a line; other partial results are for the app."""
        if hasattr(value, "describe"):
            note(value.describe())

    def interrupted(self) -> None:
        self._console.print("stopping at the next safe point; Ctrl-C again stops at once")

    def _close_phase(self) -> None:
        if not self._name:
            return
        if self._bars and self._task is not None:
            self._bars.update(self._task, completed=self._done, total=max(self._done, 1))
        elif not self._quiet:
            seconds = time.monotonic() - self._began
            amount = f", {self._done:,.0f} {self._unit}" if self._unit else ""
            self._console.print(f"{self._name}: {seconds:.1f} s{amount}", markup=False, soft_wrap=True)
        self._name = ""
