"""`workbench circuit units`: how many units of one MLP a task needs."""

from typing import Annotated

import typer

from workbench.circuits import TopUnitsConfig

from .flags import settings
from .options import Opening
from .terminal import TerminalProgress, note, print_json, print_table


@settings(config=TopUnitsConfig)
def units_command(
    dictionaries: Annotated[str, typer.Argument(help="Transcoders in the workspace.")],
    config: TopUnitsConfig,
    shared: Opening,
    task: Annotated[str, typer.Option(help="A known task or a task file.")] = "greater-than",
    prompts: Annotated[int, typer.Option(min=2, help="Prompts of the task.")] = 100,
) -> None:
    """Keep the k most varying units of one MLP: the task's score against k, transcoder features and neurons."""
    from workbench.recipes import top_units_by_name

    with TerminalProgress() as progress:
        result = top_units_by_name(
            shared.place(), dictionaries, task, prompts, config, shared.device, shared.offline, progress
        )
    if shared.as_json:
        print_json(result.to_json())
        return
    print_table(result.tables["curve"], title=f"{task}: score at layer {int(result.scalars['layer'])}")
    print_table([{"number": key, "value": value} for key, value in result.scalars.items()])
    for line in result.notes:
        note(line)
