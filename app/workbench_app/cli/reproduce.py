"""`workbench reproduce`: a paper's numbers beside the same measured here."""

from typing import Annotated, Any

import typer

from workbench.core import ConfigError
from workbench.recipes import ReproduceConfig

from .flags import settings
from .options import Shared
from .terminal import TerminalProgress, note, print_json, print_table

_HIDDEN = ("curves", "blocks by run")
"""Tables that only --json shows."""


@settings(reproduction=ReproduceConfig)
def reproduce_command(
    reproduction: ReproduceConfig,
    shared: Shared,
    name: Annotated[
        str | None, typer.Argument(help="What to reproduce, such as codebooks. [default: all, in one table]")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Only say what can be reproduced.")] = False,
) -> None:
    """Print what papers report beside what is measured here, from shipped models or trained --from-scratch."""
    from workbench.recipes import list_reproductions, reproduce, reproduce_all

    if listed:
        rows = list_reproductions()
        print_json(rows) if shared.as_json else print_table(rows)
        return
    if name is None and reproduction != ReproduceConfig():
        raise ConfigError("settings are of one reproduction", hint="name it; --list says which there are")
    with TerminalProgress() as progress:
        place = shared.place()
        result = reproduce(place, name, reproduction, progress) if name else reproduce_all(place, progress=progress)
    if shared.as_json:
        print_json(result.to_json())
    elif name is None:
        _print_all(result.tables)
    else:
        for title, rows in result.tables.items():
            if rows and title not in _HIDDEN:
                print_table([_compared(row) if title == "summary" else _shown(row) for row in rows], title=title)
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)
    if result.scalars.get("failed"):
        raise typer.Exit(1)


def _print_all(tables: dict[str, list[dict[str, Any]]]) -> None:
    """The one table, then a line for each that failed."""
    print_table([_compared(row) for row in tables["summary"]])
    for run in tables["runs"]:
        note(f"{run['reproduction']}: {run['seconds']:.0f} s" + (f"; {run['error']}" if run["error"] else ""))


def _compared(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the one table, our number with its interval."""
    ours = _number(row["ours"])
    if row["low"] is not None:
        ours += f" [{_number(row['low'])}, {_number(row['high'])}]"
    told = "-" if row["published"] is None else row["published"]
    published = told if isinstance(told, str) else _number(told)
    return {"paper": row["paper"], "what": row["what"], "ours": ours, "published": published, "differs": row["differs"]}


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row with four decimals, and each interval in one column."""
    shown: dict[str, Any] = {}
    for key, value in row.items():
        if key == "low" or key.endswith("_low"):
            high = row[key.removesuffix("low") + "high"]
            found = "-" if value is None else f"{value:.4f} to {high:.4f}"
            shown[(key.removesuffix("low").rstrip("_") + " interval").strip()] = found
        elif not (key == "high" or key.endswith("_high")):
            shown[key] = f"{value:.4f}" if isinstance(value, float) else value
    return shown
