"""`workbench doctor`: what is installed, what is fast here, what is missing, how much disk is taken."""

import typer

from .options import JsonOption, WorkspaceOption
from .terminal import note, print_json, print_table


def doctor_command(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Check the installation and the machine."""
    from workbench.recipes import examine

    result = examine(workspace)
    if as_json:
        print_json(result.to_json())
    else:
        for name, rows in result.tables.items():
            print_table(rows, title=name)
    for line in result.notes:
        note(line)
    if result.scalars["missing"]:
        raise typer.Exit(1)
