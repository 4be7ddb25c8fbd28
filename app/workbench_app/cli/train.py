"""`workbench train`: dictionaries for some layers of a model, in one pass over a text or from a store."""

from typing import Annotated

import typer

from workbench.core import Config
from workbench.data import PackConfig
from workbench.dictionaries import FAMILIES
from workbench.training import TrainConfig

from .flags import Sweep, settings
from .options import DEFAULT_MODEL, DEFAULT_TEXT, ModelOption, NameOption, PreciseOpening, TextOption
from .terminal import TerminalProgress, note, print_json, print_table


@settings(dictionary=Sweep(FAMILIES, "family", "topk-skip-transcoder"), train=TrainConfig, pack=PackConfig)
def train_command(
    dictionary: list[tuple[str, Config]],
    train: TrainConfig,
    pack: PackConfig,
    shared: PreciseOpening,
    name: NameOption = "dictionaries",
    layers: Annotated[str, typer.Option(help="all, or layers and ranges such as 0,4-7.")] = "all",
    sites: Annotated[str, typer.Option(help="For SAEs, instead of layers: sites such as attn_z.3,attn_z.4.h2.")] = "",
    store: Annotated[str | None, typer.Option(help="Train from this store instead of streaming.")] = None,
    chunk_sequences: Annotated[int, typer.Option(min=1, help="Sequences in memory at a time when streaming.")] = 128,
    passes: Annotated[int, typer.Option(min=1, help="Passes over the text.")] = 1,
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
) -> None:
    """Train dictionaries; start it again to resume from the last checkpoint.

    Flags of the dictionary may be repeated (--d-sae 1024 --d-sae 2048 --k 16 --k 32): every combination is trained
    on the same pass of the model.
    """
    from workbench.recipes import parse_layers, train_by_name

    place = shared.place()
    with TerminalProgress() as progress:
        trained = train_by_name(
            place, name, dictionary, train, model=model, text=text, pack=pack, layers=parse_layers(layers),
            sites=[site.strip() for site in sites.split(",") if site.strip()], store=store,
            chunk_sequences=chunk_sequences, passes=passes, **shared.opening, progress=progress,
        )  # fmt: skip
    last = trained.metrics
    if shared.as_json:
        print_json({"name": name, "partial": trained.partial, "dictionaries": last})
    else:
        print_table(last)
    note(
        f"saved as dictionaries/{name} in {place.path}"
        + ("; partial: run it again to go on" if trained.partial else "")
    )
    if trained.partial:
        raise typer.Exit(130)
