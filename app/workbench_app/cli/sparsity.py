"""`workbench sparsity`: which neurons fire, and what is lost when fewer may."""

from typing import Annotated, Literal

import typer

from workbench.data import PackConfig
from workbench.evaluation import DialConfig
from workbench.sparsity import ProfileConfig

from .flags import settings
from .options import DEFAULT_MODEL, DEFAULT_TEXT, ModelOption, PreciseOpening, TextOption
from .results import show
from .terminal import TerminalProgress

sparsity_app = typer.Typer(
    help="Which neurons fire, what fewer of them cost, and running only those.", no_args_is_help=True
)
SaveOption = Annotated[str, typer.Option("--name", help="Name of the result in the workspace.")]


@sparsity_app.command("profile")
@settings(profile=ProfileConfig, pack=PackConfig)
def profile_command(
    profile: ProfileConfig,
    pack: PackConfig,
    shared: PreciseOpening,
    split: Annotated[Literal["train", "heldout", "all"], typer.Option(help="Part of the text.")] = "all",
    name: SaveOption = "sparsity-profile",
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
) -> None:
    """Count firing neurons, sizes and outliers of all layers in one pass over a text."""
    from workbench.recipes import profile_by_name

    with TerminalProgress() as progress:
        result = profile_by_name(
            shared.place(), name, profile, model=model, text=text, pack=pack, split=split,
            **shared.opening, progress=progress,
        )  # fmt: skip
    show(result, shared.as_json, ("layers", "flow"))


@sparsity_app.command("dial")
@settings(dial=DialConfig, pack=PackConfig)
def dial_command(
    dial: DialConfig,
    pack: PackConfig,
    shared: PreciseOpening,
    name: SaveOption = "sparsity-dial",
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
) -> None:
    """Measure held-out loss against the share of silent neurons, rule by rule, beside a random control."""
    from workbench.recipes import dial_by_name

    with TerminalProgress() as progress:
        result = dial_by_name(
            shared.place(), name, dial, model=model, text=text, pack=pack,
            **shared.opening, progress=progress,
        )  # fmt: skip
    show(result, shared.as_json, ("dial", "operating_points"))
