"""`workbench circuit`: trace a graph, test it by intervention, report it."""

from typing import Annotated

import typer

from workbench.circuits import TraceConfig, ValidateConfig
from workbench.report import WordsConfig

from .components import discover_command, patch_command
from .flags import settings
from .options import Opening
from .results import show
from .terminal import TerminalProgress, note, print_json, print_table

circuit_app = typer.Typer(help="Trace circuits, test them by intervention, report them.", no_args_is_help=True)
circuit_app.command("patch")(patch_command)
circuit_app.command("discover")(discover_command)
GraphArgument = Annotated[str, typer.Argument(help="Name of a graph in the workspace.")]


@circuit_app.command("trace")
@settings(trace=TraceConfig)
def trace_command(
    prompt: Annotated[str, typer.Argument(help="The prompt.")],
    trace: TraceConfig,
    shared: Opening,
    dictionaries: Annotated[
        str, typer.Option("--dictionaries", "-d", help="Dictionary set in the workspace.")
    ] = "demo",
    target: Annotated[str | None, typer.Option(help="Token to explain; default: the most probable ones.")] = None,
    foil: Annotated[str | None, typer.Option(help="With --target: explain target minus foil.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the graph; default: made from the prompt.")] = None,
) -> None:
    """Trace the attribution graph of a prompt and save it in the workspace."""
    from workbench.recipes import trace_by_name

    place = shared.place()
    with TerminalProgress() as progress:
        graph = trace_by_name(
            place, prompt, dictionaries, target=target, foil=foil, name=name, config=trace, **shared.opening,
            progress=progress,
        )  # fmt: skip
    top = [graph.nodes[i] for i in graph.top(15)]
    data = {"name": graph.manifest.name, "metric": graph.metric, "value": graph.metric_value, "scores": graph.scores}
    if shared.as_json:
        print_json(data)
        return
    note(f"{graph.metric} = {graph.metric_value:.3g}; {len(graph.nodes)} nodes, saved as graphs/{graph.manifest.name}")
    print_table([{"score": key, "value": value} for key, value in graph.scores.items()])
    for key, reason in graph.manifest.details.get("no_nodes", {}).items():
        note(f"{key}: {reason}")
    print_table(
        [
            {"node": node.id, "token": graph.tokens[node.position], "effect": node.effect, "influence": node.influence}
            for node in top
        ],
        title="largest effects",
    )


@circuit_app.command("validate")
@settings(validation=ValidateConfig)
def validate_command(
    name: GraphArgument,
    validation: ValidateConfig,
    shared: Opening,
) -> None:
    """Remove nodes from the model and compare what happens with what the graph predicts."""
    from workbench.recipes import validate_by_name

    with TerminalProgress() as progress:
        result = validate_by_name(shared.place(), name, validation, shared.device, shared.offline, progress)
    show(result, shared.as_json, ("groups", "bands"))


@circuit_app.command("report")
@settings(words=WordsConfig)
def report_command(
    name: GraphArgument,
    words: WordsConfig,
    shared: Opening,
    formats: Annotated[list[str], typer.Option("--format", "-f", help="html, interactive, json, markdown or pdf.")] = [  # noqa: B006
        "html",
        "json",
    ],
) -> None:
    """Write the report of a graph: self-contained HTML, JSON, Markdown or PDF."""
    from workbench.recipes import report_by_name

    with TerminalProgress() as progress:
        place = shared.place()
        paths = report_by_name(place, name, tuple(formats), shared.device, shared.offline, progress, words=words)
    if shared.as_json:
        print_json([str(path) for path in paths])
    for path in paths:
        note(str(path))
