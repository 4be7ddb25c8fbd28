"""`workbench demo`: the main job, from text to a tested circuit, with one command."""

from typing import Annotated

import typer

from .options import JsonOption, OfflineOption, WorkspaceOption
from .terminal import TerminalProgress, note, print_json, print_table


def demo_command(
    quick: Annotated[bool, typer.Option("--quick", help="On a planted model: no download, half a minute.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Train anew even if trained transcoders are there.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of every random draw.")] = 0,
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train transcoders on a real model, trace a circuit, test it by intervention and write the report."""
    from workbench.recipes import DemoConfig, demo, demo_settings
    from workbench.workspace import Workspace

    config: DemoConfig = demo_settings(quick=quick, seed=seed)
    with TerminalProgress() as progress:
        outcome = demo(config, Workspace(workspace), offline=offline, fresh=fresh, progress=progress)
    if as_json:
        print_json(outcome.to_json())
    else:
        for title in outcome.tables:
            print_table(outcome.tables[title], title=title.replace("_", " "))
    for line in outcome.notes:
        note(line)
    if outcome.partial:
        raise typer.Exit(130)
