"""`workbench bigram`: which few weights turn the current token into the naive next-token prediction."""

from typing import Annotated

import typer

from workbench.data import PackConfig
from workbench.evaluation import BigramEvalConfig
from workbench.recipes import BodyConfig
from workbench.subnetworks import MaskConfig, TargetConfig

from .flags import settings
from .options import DEFAULT_TEXT, ModelOption, NameOption, Opening, PreciseOpening, Shared, TextOption
from .results import show
from .terminal import TerminalProgress, note, print_json, print_table

bigram_app = typer.Typer(help="Find, judge and show bigram subnetworks.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="Name of a subnetwork in the workspace, or the path of one.")]


@bigram_app.command("train")
@settings(config=MaskConfig, target=TargetConfig, body=BodyConfig, pack=PackConfig)
def train_bigram_command(
    config: MaskConfig,
    target: TargetConfig,
    body: BodyConfig,
    pack: PackConfig,
    shared: PreciseOpening,
    name: NameOption = "bigram",
    model: ModelOption = "tiny-wikipedia",
    text: TextOption = DEFAULT_TEXT,
) -> None:
    """Train a mask over a model's attention and MLP weights; start it again to resume from the last checkpoint."""
    from workbench.recipes import train_bigram

    place = shared.place()
    with TerminalProgress() as progress:
        result = train_bigram(
            place, name, config, target, body, model=model, text=text, pack=pack, **shared.opening, progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json(result.to_json())
    else:
        print_table([result.scalars], title="mask")
        print_table(result.tables["matrices"], title="where it lives")
    note(f"saved as subnetworks/{name} in {place.path}" if not result.partial else "partial: run it again to go on")
    if result.partial:
        raise typer.Exit(130)


@bigram_app.command("evaluate")
@settings(config=BigramEvalConfig)
def evaluate_bigram_command(
    name: NameArgument,
    config: BigramEvalConfig,
    shared: Opening,
    optimal: Annotated[
        str | None, typer.Option("--optimal", help="The subnetwork trained with --target full, for the overlap.")
    ] = None,
) -> None:
    """Judge a subnetwork on held-out text beside random masks, embeddings only and the full model."""
    from workbench.recipes import evaluate_bigram

    with TerminalProgress() as progress:
        result = evaluate_bigram(shared.place(), name, config, optimal=optimal, **shared.opening, progress=progress)
    tables = ("answers", "removed", "removal", "bands", "blocks", "overlap", "rotation", "examples")
    show(result, shared.as_json, tables)


@bigram_app.command("show")
@settings()
def show_bigram_command(
    name: NameArgument,
    shared: Shared,
) -> None:
    """Say how a subnetwork was made, how much it keeps, and where."""
    from workbench.recipes import open_subnetwork

    subnetwork = open_subnetwork(shared.place(), name)
    details = {"kept": subnetwork.kept, "entries": subnetwork.total, "share": subnetwork.share, **subnetwork.details}
    if shared.as_json:
        print_json({"details": details, "matrices": subnetwork.table()})
        return
    print_table([{"what": key, "is": value} for key, value in details.items()], title=name)
    print_table(subnetwork.table(), title="where it lives")


@bigram_app.command("features")
@settings(config=BigramEvalConfig)
def bigram_features_command(
    name: NameArgument,
    config: BigramEvalConfig,
    dictionary: Annotated[str, typer.Option("--dictionary", "-d", help="Transcoders of the workspace, by name.")],
    shared: Opening,
) -> None:
    """Say through which transcoder features or codes the effect of a subnetwork runs."""
    from workbench.recipes import features_of_bigram

    with TerminalProgress() as progress:
        result = features_of_bigram(shared.place(), name, dictionary, config, **shared.opening, progress=progress)
    show(result, shared.as_json)
