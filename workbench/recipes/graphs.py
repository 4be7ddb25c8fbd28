"""Group, compare and merge graphs of a workspace by name."""

import json
from collections.abc import Sequence
from pathlib import Path

from workbench.circuits import (
    CompareConfig,
    GroupConfig,
    Grouping,
    MergeConfig,
    PruneConfig,
    compare,
    grouped_edges,
    merge,
    merged_graph,
    prune,
    suggest_groups,
)
from workbench.core import CircuitGraph, ConfigError, Result
from workbench.report import Group, GroupEdge
from workbench.workspace import Workspace

from .dictionaries import find_dictionaries
from .saved import find_result, find_scan


def group_by_name(
    place: Workspace,
    name: str,
    config: GroupConfig | None = None,
    pruning: PruneConfig | None = None,
    file: Path | None = None,
) -> Result:
    """Suggest supernodes of a graph, or take them from a JSON file of the user's; saved beside the graph.

    The Result (kind `grouping`, `results/<name>-groups`) has tables `groups` and `edges`; reports and exports of the
    graph take it up.

    Raises:
        ConfigError: a file that is no grouping, or that names nodes which the pruned graph has not.
    """
    graph = CircuitGraph.load(place.open("graphs", name).path)
    pruned = prune(graph, pruning)
    if file is None:
        members = scan = None
        if wanted := graph.manifest.details.get("dictionaries"):
            members, _ = find_dictionaries(place, wanted)
            scan = find_scan(place, members)
        units = list(dict.fromkeys(node.unit for node in pruned.nodes if node.unit is not None))
        contexts = scan.contexts(units, _numbers) if scan and units else None
        grouping = suggest_groups(pruned, members, contexts, _labels(place, name, graph), config)
    else:
        grouping = Grouping.from_json(_read(file)).check(pruned)
    rows = [{**row, "size": len(row["members"])} for row in grouping.to_json()]
    result = Result(
        kind="grouping",
        scalars={"groups": float(len(rows)), "grouped": float(sum(row["size"] for row in rows))},
        tables={"groups": rows, "edges": grouped_edges(pruned, grouping)},
        params={**(config or GroupConfig()).model_dump(), "edited": file is not None},
        inputs={"graph": graph.manifest.content_hash},
        notes=("weight of an edge: signed share of the pruned graph's edge influence",),
    )
    result.save(place.path_of("results", f"{name}-groups"))
    return result


def saved_groups(place: Workspace, name: str, graph: CircuitGraph) -> tuple[tuple[Group, ...], tuple[GroupEdge, ...]]:
    """The groups saved for a graph as a report takes them; nothing where there are none of this very graph."""
    result = find_result(place, f"{name}-groups", graph)
    if result is None:
        return (), ()
    groups = tuple(
        Group(name=row["name"], members=tuple(row["members"]), rationale=row["rationale"])
        for row in result.tables["groups"]
    )
    told = result.tables["edges"]
    edges = tuple(GroupEdge(source=e["source"], target=e["target"], weight=e["weight"]) for e in told)
    return groups, edges


def compare_by_name(
    place: Workspace,
    names: Sequence[str],
    config: MergeConfig | None = None,
    pruning: PruneConfig | None = None,
    merging: bool = False,
    name: str | None = None,
) -> Result:
    """Compare two graphs, or merge several: pruned alike, saved as a Result (and the merged graph under `name`).

    Raises:
        ConfigError: fewer than two names, or more than two without merging.
    """
    config = config or MergeConfig()
    if len(names) < 2 or (len(names) > 2 and not merging):
        raise ConfigError("comparing wants two graphs", found=f"found {len(names)}", hint="add --merge for more")
    graphs = [prune(CircuitGraph.load(place.open("graphs", one).path), pruning) for one in names]
    if not merging:
        plain = CompareConfig.model_validate(config.model_dump(include=set(CompareConfig.model_fields)))
        result = compare(graphs[0], graphs[1], plain)
        result.save(place.path_of("results", name or f"{names[0]}-against-{names[1]}"))
        return result
    result = merge(graphs, config)
    result.save(place.path_of("results", name or f"{names[0]}-merged"))
    if len({len(graph.tokens) for graph in graphs}) == 1:
        merged_graph(graphs, config).save(place.path_of("graphs", name or f"{names[0]}-merged"))
    return result


def _numbers(ids: list[int]) -> list[str]:
    """Token ids as text: likeness of contexts needs no tokenizer."""
    return [str(token) for token in ids]


def _labels(place: Workspace, name: str, graph: CircuitGraph) -> dict[str, str]:
    """Node id -> the tokens that its feature promotes, where the effects were saved."""
    result = find_result(place, f"{name}-effects", graph)
    told = {row["unit"]: row["promoted"] for row in result.tables["unit_effects"]} if result else {}
    found = {}
    for node in graph.nodes:
        if node.unit is not None and (promoted := told.get(str(node.unit))):
            found[node.id] = " ".join(str(token).strip() or "·" for token, _ in promoted[:3])
    return found


def _read(file: Path) -> object:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read the groups {file}", found=str(error)) from None
    return data["groups"] if isinstance(data, dict) and "groups" in data else data
