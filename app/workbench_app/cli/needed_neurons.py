"""`workbench sparsity features` and `circuit`: the neurons that features and circuits need."""

from typing import Annotated

import typer

from workbench.evaluation import CircuitNeuronsConfig, FeatureNeuronsConfig

from .flags import settings, with_lists
from .options import Opening
from .results import show
from .sparse_inference import sparsity_app
from .terminal import TerminalProgress


@sparsity_app.command("features")
@settings(config=FeatureNeuronsConfig)
def features_command(
    units: Annotated[list[str], typer.Argument(help="Addresses of features, such as transcoder:demo:mlp_in.12:1855.")],
    config: FeatureNeuronsConfig,
    shared: Opening,
    sizes: Annotated[
        list[int] | None, typer.Option("--size", min=1, help="How many neurons are silenced; several times.")
    ] = None,
) -> None:
    """Find the neurons that dictionary features need, and silence them beside the strongest and random ones."""
    from workbench.core import Unit
    from workbench.recipes import feature_neurons_by_name

    with TerminalProgress() as progress:
        result = feature_neurons_by_name(
            shared.place(), [Unit.parse(unit) for unit in units], with_lists(config, sizes=sizes), **shared.opening,
            progress=progress,
        )  # fmt: skip
    show(result, shared.as_json, ("features", "curve", "neurons"))


@sparsity_app.command("circuit")
@settings(config=CircuitNeuronsConfig)
def circuit_command(
    graph: Annotated[str, typer.Argument(help="Name of a graph in the workspace.")],
    config: CircuitNeuronsConfig,
    shared: Opening,
    shares: Annotated[list[float] | None, typer.Option("--share", help="Shares of all neurons; several times.")] = None,
) -> None:
    """Find the neurons behind a graph's features, beside the prompt's core and random ones."""
    from workbench.recipes import circuit_neurons_by_name

    with TerminalProgress() as progress:
        result = circuit_neurons_by_name(
            shared.place(), graph, with_lists(config, shares=shares), **shared.opening, progress=progress,
        )  # fmt: skip
    show(result, shared.as_json, ("test", "overlap", "neurons"))
