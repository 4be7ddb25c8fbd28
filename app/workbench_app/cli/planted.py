"""`workbench bench planted`: autoencoders on rows whose features are known."""

from typing import Annotated

import typer

from workbench.evaluation import PlantedBenchConfig

from .flags import settings
from .options import JsonOption
from .terminal import TerminalProgress, note, print_json, print_table


@settings(bench=PlantedBenchConfig)
def planted_command(
    bench: PlantedBenchConfig,
    families: Annotated[list[str] | None, typer.Argument(help="Families; none: every autoencoder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train autoencoders on planted features and count the features that they recover."""
    from workbench.evaluation import planted_bench

    chosen = bench.model_copy(update={"families": tuple(families)}) if families else bench
    with TerminalProgress() as progress:
        result = planted_bench(chosen, progress)
    if as_json:
        print_json(result.to_json())
    else:
        print_table(result.tables["recovery"], title="recovery")
        if "kinds" in result.tables:
            print_table(result.tables["kinds"], title="bench B, by kind of feature")
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)
