"""`workbench bench circuits` and `workbench bench codes`: discovery against circuits that are known."""

from typing import Annotated, Any

import typer

from workbench.circuits import DiscreteSweepConfig
from workbench.evaluation import PlantedCircuitsConfig

from .flags import settings
from .options import JsonOption
from .terminal import TerminalProgress, note, print_json, print_table

ModelsArgument = Annotated[list[str] | None, typer.Argument(help="Planted circuits; none: all.")]


@settings(bench=PlantedCircuitsConfig)
def circuits_command(
    bench: PlantedCircuitsConfig,
    models: ModelsArgument = None,
    methods: Annotated[list[str] | None, typer.Option("--method", help="Repeat for several; none: all.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold every method of circuit discovery against planted circuits, by node and by edge."""
    from workbench.evaluation import planted_circuits

    given = {"models": tuple(models or bench.models), "methods": tuple(methods or bench.methods)}
    with TerminalProgress() as progress:
        result = planted_circuits(bench.model_copy(update=given), progress)
    _show(result, as_json)


@settings(sweep=DiscreteSweepConfig)
def codes_command(sweep: DiscreteSweepConfig, models: ModelsArgument = None, as_json: JsonOption = False) -> None:
    """Discrete codes on planted circuits with growing numbers of codes and of training examples."""
    from workbench.evaluation import code_sweep

    with TerminalProgress() as progress:
        result = code_sweep(tuple(models or ()), sweep, progress)
    _show(result, as_json)


def _show(result: Any, as_json: bool) -> None:
    if as_json:
        print_json(result.to_json())
    else:
        for title, rows in result.tables.items():
            print_table(rows, title=title)
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)
