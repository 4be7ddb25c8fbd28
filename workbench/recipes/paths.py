"""Paths into a graph's node, and what the weights alone connect, by name."""

from collections.abc import Sequence

from workbench.circuits import PathConfig, find_paths, invariant_circuit, invariant_connection
from workbench.core import ConfigError, Progress, Result
from workbench.workspace import Workspace

from .circuits import model_of, open_graph
from .dictionaries import find_dictionaries


def paths_by_name(
    place: Workspace,
    name: str,
    node: str = "",
    config: PathConfig | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """The strongest paths into a feature of a graph of the workspace; no node: the one with the largest effect."""
    graph, model, members, _ = open_graph(place, name, device, offline, progress)
    return find_paths(model, members, graph, node, config, progress)


def weights_by_name(
    place: Workspace,
    dictionaries: str,
    feature: str,
    source: str = "",
    heads: Sequence[str] = (),
    count: int = 10,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """What a feature reads by the weights alone, or what another feature hands it.

    Args:
        feature, source: layer.index. heads: layer.head; none: those with the strongest connections.

    Raises:
        ConfigError: something that is not written so, or is not there.
    """
    target = _pair(feature, "a feature", "layer.index")
    start = _pair(source, "a feature", "layer.index") if source else None
    chosen = [_pair(head, "a head", "layer.head") for head in heads]
    members, _ = find_dictionaries(place, dictionaries)
    model = model_of(members, device, offline, progress)
    if start is not None:
        return invariant_connection(model, members, start, target, count)
    return invariant_circuit(model, members, *target, chosen or None, count)


def _pair(text: str, kind: str, form: str) -> tuple[int, int]:
    layer, dot, number = text.partition(".")
    if not (dot and layer.isdecimal() and number.isdecimal()):
        raise ConfigError(f"cannot read {text!r} as {kind}", hint=f"write {form}, such as 3.12")
    return int(layer), int(number)
