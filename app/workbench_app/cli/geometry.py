"""`workbench geometry`: the shape of a model's representations, layer by layer."""

from typing import Annotated

import typer

from workbench.data import PackConfig
from workbench_probes import GeometryConfig

from .flags import settings
from .options import DEFAULT_MODEL, DEFAULT_TEXT, ModelOption, NameOption, PreciseOpening, TextOption
from .terminal import TerminalProgress, note, print_json, print_table


@settings(config=GeometryConfig, pack=PackConfig)
def geometry_command(
    config: GeometryConfig,
    pack: PackConfig,
    shared: PreciseOpening,
    sites: Annotated[
        list[str] | None,
        typer.Option("--sites", "-s", help="resid_post (all layers), mlp_out.3, attn_z.4-7 [default: resid_post]."),
    ] = None,
    name: NameOption = "geometry",
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
) -> None:
    """Measure anisotropy, intrinsic dimension, outliers, and how alike and how linear the layers are."""
    from workbench.recipes import geometry_by_name

    with TerminalProgress() as progress:
        result = geometry_by_name(
            shared.place(), model, text, sites or ["resid_post"], config, pack, name=name, **shared.opening,
            progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json(result.to_json())
    else:
        hidden = ("layer", "two_nn_error", "likelihood_dimension_error")
        print_table([{k: v for k, v in row.items() if k not in hidden} for row in result.tables["sites"]])
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)
