"""Heads of a graph's edges by name."""

from collections.abc import Sequence

from workbench.circuits import edge_heads
from workbench.core import ConfigError, Progress, Result
from workbench.workspace import Workspace

from .circuits import open_graph


def heads_by_name(
    place: Workspace,
    name: str,
    edges: Sequence[str] = (),
    strongest: int = 10,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Which heads carry some edges of a graph of the workspace, written `source->target`; none: the strongest.

    Raises:
        ConfigError: an edge that is not written like that, or nodes that the graph does not have.
    """
    pairs = []
    for edge in edges:
        source, arrow, target = edge.partition("->")
        if not arrow:
            raise ConfigError(f"cannot read the edge {edge!r}", hint="write source->target with node ids")
        pairs.append((source.strip(), target.strip()))
    graph, model, members, _ = open_graph(place, name, device, offline, progress)
    return edge_heads(model, members, graph, pairs, strongest)
