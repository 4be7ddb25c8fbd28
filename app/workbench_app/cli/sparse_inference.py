"""`workbench sparsity core` and `generate`: core neurons measured, and text generated on them."""

import sys
from typing import Annotated, Literal

import typer

from workbench.evaluation import CoreClustersConfig, CoreLossConfig, CoreSimilarityConfig, CoreStabilityConfig
from workbench.sparsity import SparseGenerationConfig

from .flags import settings
from .options import (
    DEFAULT_MODEL,
    DEFAULT_TEXT,
    DtypeOption,
    JsonOption,
    ModelOption,
    OfflineOption,
    TextOption,
    WorkspaceOption,
)  # fmt: skip
from .results import show
from .sparsity import sparsity_app
from .terminal import TerminalProgress, note, print_json

SharesOption = Annotated[
    list[float] | None, typer.Option("--share", help="Shares of the neurons that are kept; several times.")
]
_CONFIGS = {
    "loss": CoreLossConfig,
    "stability": CoreStabilityConfig,
    "similarity": CoreSimilarityConfig,
    "clusters": CoreClustersConfig,
}


@sparsity_app.command("core")
def core_command(
    measure: Annotated[
        Literal["loss", "stability", "similarity", "clusters"],
        typer.Argument(help="What a fixed core costs, how stable it is, what it tells of meaning, or short inputs."),
    ] = "loss",
    shares: SharesOption = None,
    prefix: Annotated[int | None, typer.Option(min=4, help="Tokens read densely (loss, clusters).")] = None,
    follow: Annotated[int | None, typer.Option(min=2, help="Tokens that follow (loss, clusters).")] = None,
    sequences: Annotated[int | None, typer.Option(min=2, help="Texts (not for similarity).")] = None,
    alpha: Annotated[float, typer.Option(help="Share of a token's activations that is its core.")] = 0.4,
    seed: Annotated[int, typer.Option(min=0, help="Seed of controls and intervals.")] = 0,
    name: Annotated[str, typer.Option("--name", help="Name of the result [default: core-MEASURE].")] = "",
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
    dtype: DtypeOption = "float32",
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure core neurons (CoreInfer): those that most tokens of a text have among their strongest."""
    from workbench.recipes import core_by_name
    from workbench.workspace import Workspace

    kind = _CONFIGS[measure]
    given = {"prefix": prefix, "follow": follow, "sequences": sequences, "alpha": alpha, "seed": seed}
    given["shares"] = tuple(shares) if shares else None
    known = {name: value for name, value in given.items() if value is not None and name in kind.model_fields}
    with TerminalProgress() as progress:
        result = core_by_name(
            Workspace(workspace), name or f"core-{measure}", measure, kind.parse(known), model=model, text=text,
            dtype=dtype, offline=offline, progress=progress,
        )  # fmt: skip
    show(result, as_json, tuple(name for name in result.tables if name != "layers"))


@sparsity_app.command("generate")
@settings(generation=SparseGenerationConfig)
def generate_command(
    prompt: Annotated[str, typer.Argument(help="Text to continue.")],
    generation: SparseGenerationConfig,
    model: ModelOption = DEFAULT_MODEL,
    dtype: DtypeOption = "float32",
    offline: OfflineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Continue a prompt on some of the neurons; tokens are printed as they come."""
    from workbench.recipes import generate_by_name

    def tell(piece: str) -> None:
        if not as_json:
            sys.stdout.write(piece)
            sys.stdout.flush()

    tell(prompt)
    result = generate_by_name(model, prompt, generation, dtype=dtype, offline=offline, tell=tell)
    if as_json:
        print_json(result.to_json())
    else:
        tell("\n")
        found = result.scalars
        note(
            f"{found['tokens_per_second']:.1f} tokens/s, {found['new_tokens']:.0f} new; each read "
            f"{found['mlp_mb_a_token']:.0f} MB of MLP weights, {found['mlp_share']:.0%} of all"
        )
    if result.partial:
        raise typer.Exit(130)
