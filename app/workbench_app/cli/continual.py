"""`workbench codebook continual`: classes that come in tasks, learnt through a key-value bottleneck."""

from typing import Annotated, Literal

import typer

from workbench.dictionaries import KeyValueConfig
from workbench.evaluation import ContinualConfig
from workbench.recipes import TopicRowsConfig

from .flags import settings
from .options import DEFAULT_MODEL, ModelOption, PreciseOpening
from .terminal import TerminalProgress, note, print_json, print_table


@settings(protocol=ContinualConfig, bottleneck=KeyValueConfig, rows=TopicRowsConfig)
def continual_command(
    protocol: ContinualConfig,
    bottleneck: KeyValueConfig,
    rows: TopicRowsConfig,
    shared: PreciseOpening,
    data: Annotated[
        Literal["digits", "topics"], typer.Argument(help="Digits, or topics of articles by a model's states.")
    ] = "digits",
    model: ModelOption = DEFAULT_MODEL,
) -> None:
    """Learn classes task by task: a key-value bottleneck, a linear probe, neighbours, and each of them i.i.d."""
    from workbench.recipes import continual_by_name

    with TerminalProgress() as progress:
        result = continual_by_name(
            shared.place(), data, protocol, bottleneck, rows, model=model, **shared.opening, progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json(result.to_json())
    else:
        print_table([_shown(row) for row in result.tables["final"]], title=f"{data}: accuracy after the last task")
        print_table(result.tables["tasks"], title="accuracy on the tasks seen so far")
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)


def _shown(row: dict) -> dict:
    shown = {"method": row["method"]}
    for key in ("accuracy", "iid", "gap", "forgetting"):
        shown |= {key: row[key], f"{key} interval": f"{row[f'{key}_low']:.3f} to {row[f'{key}_high']:.3f}"}
    return shown | {"runs": row["runs"]}
