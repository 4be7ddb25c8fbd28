"""`workbench bench app`: the app in a headless Chromium, every interaction beside its target."""

import typer

from workbench_app.budget_config import AppBenchConfig

from .flags import settings
from .options import JsonOption, WorkspaceOption
from .terminal import TerminalProgress, note, print_json, print_table


@settings(bench=AppBenchConfig)
def app_bench_command(bench: AppBenchConfig, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """Measure the app in a headless Chromium, every interaction beside its target."""
    from workbench.workspace import workspace_folder
    from workbench_app.budget import measure_app

    with TerminalProgress() as progress:
        result = measure_app(bench, workspace_folder(workspace), progress)
    if as_json:
        print_json(result.to_json())
    else:
        print_table(result.tables["budget"], title=f"the app with {bench.model}")
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)
