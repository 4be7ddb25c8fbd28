"""`workbench circuit import` and `export`: graphs in other tools' files."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.circuits import PruneConfig

from .circuit import GraphArgument
from .flags import settings
from .options import Shared
from .terminal import note, print_json


@settings(pruning=PruneConfig)
def export_graph_command(
    name: GraphArgument,
    pruning: PruneConfig,
    to: Annotated[Path, typer.Option("--to", help="A file (.json, .json.gz, .graphml), or a folder for it.")],
    shared: Shared,
    format: Annotated[str, typer.Option(help="circuit-tracer, neuronpedia (the same JSON) or graphml.")] = "",
    whole: Annotated[bool, typer.Option("--whole", help="Every node and edge that the graph holds.")] = False,
    scan: Annotated[str, typer.Option(help="What the other tool calls the model [default: its id].")] = "",
) -> None:
    """Write a graph, pruned, for circuit-tracer, Neuronpedia, Gephi or yEd."""
    from workbench.recipes import export_graph

    format = format or ("graphml" if to.suffix == ".graphml" else "circuit-tracer")
    written = export_graph(shared.place(), name, to, format, None if whole else pruning, scan)
    if shared.as_json:
        print_json({"name": name, "format": format, "path": str(written), "bytes": written.stat().st_size})
        return
    note(f"{name} as {format}: {written} ({written.stat().st_size / 2**20:.1f} MB)")


@settings()
def import_graph_command(
    file: Annotated[Path, typer.Argument(help="A graph file: circuit-tracer's or Neuronpedia's JSON, or GraphML.")],
    shared: Shared,
    name: Annotated[str | None, typer.Option(help="Name in the workspace [default: its own].")] = None,
    format: Annotated[str | None, typer.Option(help="Its format [default: whichever fits].")] = None,
) -> None:
    """Bring in a graph that another tool wrote."""
    from workbench.recipes import import_graph

    done = import_graph(shared.place(), file, name, format)
    graph = done.graph
    data = {"name": graph.manifest.name, "metric": graph.metric, "nodes": len(graph.nodes), "edges": len(graph.weight)}
    if shared.as_json:
        print_json({**data, "prompt": graph.prompt, "supernodes": len(done.supernodes), "notes": list(done.notes)})
        return
    note(f"{graph.metric}: {data['nodes']} nodes, {data['edges']} edges, saved as graphs/{data['name']}")
    for line in done.notes:
        note(line)
