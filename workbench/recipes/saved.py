"""What a workspace holds beside a graph or a set of dictionaries: Results and scans of these very ones, or nothing."""

from workbench.core import CircuitGraph, Result
from workbench.dictionaries import DictionarySet
from workbench.features import FeatureScan, has_statistics, open_scan
from workbench.workspace import Workspace


def find_result(place: Workspace, name: str, graph: CircuitGraph) -> Result | None:
    """A saved Result of this very graph, None if there is none."""
    path = place.path_of("results", name)
    if not path.is_dir():
        return None
    result = Result.load(path)
    return result if result.inputs.get("graph") == graph.manifest.content_hash else None


def find_scan(place: Workspace, members: DictionarySet) -> FeatureScan | None:
    """The feature scan of a set, None if there is none of these very dictionaries (or only one without statistics)."""
    path = place.path_of("stores", f"{members.name}-scan")
    if not path.is_dir() or members.manifest is None or not has_statistics(path):
        return None
    scan = open_scan(path)
    return scan if members.manifest.content_hash in scan.manifest.parents.values() else None


def find_evaluation(place: Workspace, members: DictionarySet) -> Result | None:
    """The saved evaluation of a set, None if there is none of these very dictionaries."""
    path = place.path_of("results", f"{members.name}-evaluation")
    if not path.is_dir() or members.manifest is None:
        return None
    result = Result.load(path)
    return result if members.manifest.content_hash in result.inputs.values() else None
