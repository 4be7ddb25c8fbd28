"""`workbench circuit tasks`: what there is to explain, and whether a model can do it."""

from typing import Annotated

import typer

from .options import DeviceOption, JsonOption, OfflineOption
from .terminal import TerminalProgress, note, print_json, print_table


def tasks_command(
    tasks: Annotated[
        list[str] | None, typer.Argument(help="Registered tasks or task files (.toml, .json); none: every one.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Check the tasks on this model; without it they are listed.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Prompts of each task.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the prompts.")] = 0,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the tasks; with --model, check that the model can do them and that corrupted prompts corrupt.

    A task file holds a name, a metric ("logit difference" or "probability difference") and a list of prompts, each
    with prompt, corrupted, target and foil (or lists of targets and foils); answers are written with their leading
    space.
    """
    from workbench.recipes import check_tasks, known_tasks

    if model is None:
        rows = [row for row in known_tasks() if not tasks or row["task"] in tasks]
        print_json(rows) if as_json else print_table(rows)
        return
    with TerminalProgress() as progress:
        result = check_tasks(model, tasks or (), count, seed, device=device, offline=offline, progress=progress)
    if as_json:
        print_json(result.to_json())
    else:
        print_table(result.tables["tasks"])
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)
