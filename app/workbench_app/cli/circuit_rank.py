"""`workbench circuit rank`, `ledger` and `heads`: what scores tell, where influence ends, what carries an edge."""

from typing import Annotated

import typer

from workbench.recipes import ScoreRankingConfig

from .circuit import GraphArgument
from .flags import settings
from .options import Opening, Shared
from .terminal import TerminalProgress, note, print_json, print_table


@settings(ranking=ScoreRankingConfig)
def rank_command(
    name: Annotated[str, typer.Argument(help="Name of a dictionary set in the workspace.")],
    ranking: ScoreRankingConfig,
    shared: Opening,
) -> None:
    """Rank trained dictionaries and spoiled copies of them by every score of their graphs."""
    from workbench.recipes import rank_by_name

    with TerminalProgress() as progress:
        result = rank_by_name(shared.place(), name, ranking, shared.device, shared.offline, progress)
    if shared.as_json:
        print_json(result.to_json())
    else:
        print_table(result.tables["ranking"], title="scores of the set and its spoiled copies")
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)


@settings()
def ledger_command(name: GraphArgument, shared: Shared) -> None:
    """How much influence leaves a graph through reconstruction errors, layer by layer."""
    from workbench.circuits import error_ledger
    from workbench.core import CircuitGraph

    result = error_ledger(CircuitGraph.load(shared.place().open("graphs", name).path))
    if shared.as_json:
        print_json(result.to_json())
        return
    print_table([result.scalars], title="where influence ends")
    print_table(result.tables["layers"], title="layer by layer")
    for line in result.notes:
        note(line)


@settings()
def heads_command(
    name: GraphArgument,
    shared: Opening,
    edges: Annotated[
        list[str] | None, typer.Argument(help="Edges as source->target (node ids); none: the strongest.")
    ] = None,
    strongest: Annotated[int, typer.Option(min=1, help="How many edges where none is named.")] = 5,
    heads: Annotated[int, typer.Option(min=1, help="Heads shown of each edge.")] = 6,
) -> None:
    """Which attention heads carry an edge of a graph."""
    from workbench.recipes import heads_by_name

    with TerminalProgress() as progress:
        result = heads_by_name(shared.place(), name, edges or (), strongest, shared.device, shared.offline, progress)
    if shared.as_json:
        print_json(result.to_json())
        return
    for edge in result.tables["edges"]:
        mine = [
            row for row in result.tables["heads"] if (row["source"], row["target"]) == (edge["source"], edge["target"])
        ]
        shown = [{key: row[key] for key in ("layer", "head", "part", "through")} for row in mine[:heads]]
        print_table(shown, title=f"{edge['source']} -> {edge['target']}: {edge['weight']:.4g}")
    for line in result.notes:
        note(line)
