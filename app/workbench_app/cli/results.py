"""How commands show a Result: its tables for people, all of it as JSON for scripts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

from .terminal import note, print_json, print_table


def show(result: Any, as_json: bool, tables: Iterable[str] | None = None) -> None:
    """Some tables of a Result (without names: each) and its notes, or all of it as JSON; 130 where it was cut short."""
    if as_json:
        print_json(result.to_json())
    else:
        for table in result.tables if tables is None else tables:
            if rows := result.tables.get(table):
                print_table(_folded(rows), title=table)
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)


def _folded(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows whose intervals stand behind their values; without columns that are empty throughout."""
    wanted = [key for key in rows[0] if any(row.get(key) != "" for row in rows)]
    folded = []
    for row in rows:
        shown: dict[str, Any] = {}
        for key in wanted:
            value = row.get(key)
            ends = [row.get(f"{key}_{end}") for end in ("low", "high")]
            if not key.endswith(("_low", "_high")):
                shown[key] = value
            if None not in ends:
                shown[f"{key} interval"] = "{:.3g} to {:.3g}".format(*ends)
        folded.append(shown)
    return folded
