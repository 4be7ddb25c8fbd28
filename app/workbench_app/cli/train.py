"""`workbench train`: dictionaries for some layers of a model, in one pass over a text or from a store."""

from typing import Annotated

import typer

from workbench.data import PackConfig
from workbench.dictionaries import CoderConfig
from workbench.training import TrainConfig

from .flags import settings
from .options import (
    DEFAULT_MODEL,
    DEFAULT_TEXT,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    NameOption,
    OfflineOption,
    TextOption,
    WorkspaceOption,
)  # fmt: skip
from .terminal import TerminalProgress, note, print_json, print_table


@settings(dictionary=CoderConfig, train=TrainConfig, pack=PackConfig)
def train_command(
    dictionary: CoderConfig,
    train: TrainConfig,
    pack: PackConfig,
    name: NameOption = "dictionaries",
    family: Annotated[str, typer.Option(help="Registered family of dictionaries.")] = "topk-skip-transcoder",
    layers: Annotated[str, typer.Option(help="all, or layers and ranges such as 0,4-7.")] = "all",
    store: Annotated[str | None, typer.Option(help="Train from this store instead of streaming.")] = None,
    chunk_sequences: Annotated[int, typer.Option(min=1, help="Sequences in memory at a time when streaming.")] = 128,
    passes: Annotated[int, typer.Option(min=1, help="Passes over the text.")] = 1,
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train dictionaries; start it again to resume from the last checkpoint."""
    from workbench.recipes import parse_layers, train_dictionaries, training_rows
    from workbench.workspace import Workspace

    place = Workspace(workspace)
    with TerminalProgress() as progress:
        subject, rows = training_rows(
            place, model, text, pack, family=family, layers=parse_layers(layers), store=store,
            chunk_sequences=chunk_sequences, passes=passes, device=device, dtype=dtype, offline=offline,
            progress=progress, seed=train.seed,
        )  # fmt: skip
        trained = train_dictionaries(subject, rows, place, name, family, dictionary, train, progress)
    last = trained.metrics
    if as_json:
        print_json({"name": name, "partial": trained.partial, "dictionaries": last})
    else:
        print_table(last)
    note(
        f"saved as dictionaries/{name} in {place.path}"
        + ("; partial: run it again to go on" if trained.partial else "")
    )
    if trained.partial:
        raise typer.Exit(130)
