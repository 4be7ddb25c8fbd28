"""`workbench reproduce`: a paper's numbers beside the same measured here."""

from typing import Annotated, Any

import typer

from workbench.recipes import ReproduceConfig

from .flags import settings
from .options import JsonOption, WorkspaceOption
from .terminal import TerminalProgress, note, print_json, print_table

_HIDDEN = ("curves",)
"""Tables that only --json shows."""


@settings(reproduction=ReproduceConfig)
def reproduce_command(
    name: Annotated[str, typer.Argument(help="What to reproduce, such as codebooks.")],
    reproduction: ReproduceConfig,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a paper reports beside what is measured here, from shipped models or trained --from-scratch."""
    from workbench.recipes import reproduce
    from workbench.workspace import Workspace

    with TerminalProgress() as progress:
        result = reproduce(Workspace(workspace), name, reproduction, progress)
    if as_json:
        print_json(result.to_json())
    else:
        for title, rows in result.tables.items():
            if rows and title not in _HIDDEN:
                print_table([_shown(row) for row in rows], title=title)
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row with four decimals, and each interval in one column."""
    shown: dict[str, Any] = {}
    for key, value in row.items():
        if key == "low" or key.endswith("_low"):
            high = row[key.removesuffix("low") + "high"]
            shown[key.removesuffix("low").rstrip("_") + " interval"] = f"{value:.4f} to {high:.4f}"
        elif not (key == "high" or key.endswith("_high")):
            shown[key] = f"{value:.4f}" if isinstance(value, float) else value
    return shown
