"""What features and circuits of a workspace need of the model's own neurons, by name."""

from collections.abc import Sequence
from typing import Any

from workbench.circuits import prune
from workbench.core import ConfigError, Progress, Result, Unit
from workbench.evaluation import CircuitNeuronsConfig, FeatureNeuronsConfig, circuit_neurons, feature_neurons
from workbench.workspace import Workspace

from .circuits import open_graph
from .features import open_bench


def feature_neurons_by_name(
    place: Workspace, units: Sequence[Unit], config: FeatureNeuronsConfig | None = None, **opening: Any
) -> Result:
    """`feature_neurons` of units of one scanned set, saved as `results/<set>-feature-neurons`.

    `opening` goes to `open_bench`.

    Raises:
        ConfigError: units of several sets, or a set that was not scanned yet.
    """
    names = {unit.artifact for unit in units}
    if len(names) != 1 or "" in names:
        found = ", ".join(sorted(name or "the model's own" for name in names)) or "none"
        raise ConfigError("wanted features of one set of dictionaries", f"found {found}")
    (name,) = names
    bench, scan = open_bench(place, name, **opening)
    if scan is None:
        raise ConfigError(f"{name} was not scanned yet", hint=f"run: workbench features scan {name}")
    result = feature_neurons(bench, scan, units, config, opening.get("progress"))
    result.save(place.path_of("results", f"{name}-feature-neurons"))
    return result


def circuit_neurons_by_name(
    place: Workspace,
    name: str,
    config: CircuitNeuronsConfig | None = None,
    *,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """`circuit_neurons` of a graph of the workspace, pruned, saved as `results/<graph>-neurons`."""
    graph, model, members, _ = open_graph(place, name, device, offline, progress)
    result = circuit_neurons(model, members, prune(graph), config, progress)
    result.save(place.path_of("results", f"{name}-neurons"))
    return result
