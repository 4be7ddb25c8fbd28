"""`workbench evaluate`: dictionaries on held-out text."""

from typing import Annotated

import typer

from workbench.data import PackConfig
from workbench.evaluation import EvaluateConfig

from .flags import settings
from .options import DEFAULT_TEXT, DeviceOption, JsonOption, OfflineOption, TextOption, WorkspaceOption
from .terminal import TerminalProgress, note, print_json, print_table


@settings(evaluation=EvaluateConfig, pack=PackConfig)
def evaluate_command(
    names: Annotated[list[str], typer.Argument(help="Names of dictionary sets in the workspace.")],
    evaluation: EvaluateConfig,
    pack: PackConfig,
    text: TextOption = DEFAULT_TEXT,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Default: the model they were trained on.")] = None,
    device: DeviceOption = "auto",
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure L0, FVU, cosine, dead share and spliced cross-entropy on held-out documents, beside controls."""
    from workbench.recipes import evaluate_by_name
    from workbench.workspace import Workspace

    place = Workspace(workspace)
    with TerminalProgress() as progress:
        results = {
            name: evaluate_by_name(place, name, text, evaluation, pack, model, device, offline, progress)
            for name in names
        }
    if as_json:
        print_json({name: result.to_json() for name, result in results.items()})
        return
    for name, result in results.items():
        for table, rows in result.tables.items():
            print_table(rows, title=f"{name}: {table}")
        for line in result.notes:
            note(line)
