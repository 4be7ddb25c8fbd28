"""Graphs of the workspace out to other tools' files, and in."""

from pathlib import Path

from workbench.circuits import PruneConfig, prune
from workbench.core import CircuitGraph
from workbench.exchange import GraphFile, read_graph, write_graph
from workbench.workspace import Workspace

from .circuits import slug
from .graphs import saved_groups


def export_graph(
    place: Workspace,
    name: str,
    to: Path,
    format: str = "circuit-tracer",
    config: PruneConfig | None = None,
    scan: str = "",
) -> Path:
    """Write a graph of the workspace for another tool; `config` prunes it first, None writes every edge kept.

    Supernodes that were saved beside the graph go along as far as their nodes are left.
    """
    whole = graph = CircuitGraph.load(place.open("graphs", name).path)
    groups, _ = saved_groups(place, name, whole)
    if config is not None:
        graph = prune(graph, config)
    known = {node.id for node in graph.nodes}
    kept = [(group.name, tuple(member for member in group.members if member in known)) for group in groups]
    supernodes = tuple((label, members) for label, members in kept if members)
    return write_graph(GraphFile(graph, name, supernodes=supernodes), to, format, scan)


def import_graph(place: Workspace, path: Path, name: str | None = None, format: str | None = None) -> GraphFile:
    """Bring a graph file of another tool into the workspace; returns it as saved."""
    file = read_graph(path, format)
    graph = file.graph.save(place.path_of("graphs", name or slug(file.slug or path.stem)))
    return GraphFile(graph, graph.manifest.name, file.pinned, file.supernodes, file.notes)
