"""`workbench circuit paths` and `weights`: ways into a feature, on a prompt and by the weights alone."""

from typing import Annotated

import typer

from workbench.circuits import PathConfig

from .circuit import GraphArgument
from .flags import settings
from .options import Opening
from .terminal import TerminalProgress, note, print_json, print_table


@settings(paths=PathConfig)
def paths_command(
    name: GraphArgument,
    paths: PathConfig,
    shared: Opening,
    node: Annotated[str, typer.Argument(help="Id of a feature; none: the one with the largest effect.")] = "",
) -> None:
    """Search for the strongest paths into a feature of a graph, through features and heads."""
    from workbench.recipes import paths_by_name

    with TerminalProgress() as progress:
        result = paths_by_name(shared.place(), name, node, paths, shared.device, shared.offline, progress)
    if shared.as_json:
        print_json(result.to_json())
        return
    shown = [{key: row[key] for key in ("path", "value", "share")} for row in result.tables["paths"]]
    print_table(shown, title=f"paths into {result.params['node']}, {result.scalars['pre_activation']:.3g}")
    for line in result.notes:
        note(line)


@settings()
def weights_command(
    feature: Annotated[str, typer.Argument(help="A feature, written layer.index.")],
    shared: Opening,
    dictionaries: Annotated[
        str, typer.Option("--dictionaries", "-d", help="Dictionary set in the workspace.")
    ] = "demo",
    source: Annotated[str, typer.Option("--from", help="Another feature: only what it hands over.")] = "",
    heads: Annotated[
        list[str] | None, typer.Option("--head", help="Look through this head (layer.head); repeat for several.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Features, tokens or ways shown.")] = 10,
) -> None:
    """What a feature reads on any input: features and tokens that the weights connect to it, also through heads."""
    from workbench.recipes import weights_by_name

    with TerminalProgress() as progress:
        result = weights_by_name(
            shared.place(), dictionaries, feature, source, heads or (), count, shared.device, shared.offline, progress
        )
    if shared.as_json:
        print_json(result.to_json())
        return
    for title, rows in result.tables.items():
        print_table(rows, title=f"{title}: {feature} of {dictionaries}" + (f" from {source}" if source else ""))
    for line in result.notes:
        note(line)
