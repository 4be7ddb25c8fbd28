"""How people arranged a graph: pins, groups, places and dials, saved as views of the workspace at every change."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.core import CircuitGraph

from . import state

MOST = 4000  # pins, members or places that one layout holds


def first(graph_hash: str) -> str:
    """The id of the view in which a graph opens."""
    return f"pins-{graph_hash[:12]}"


def names(graph_hash: str) -> dict[str, str]:
    """Every view of a graph: id -> name, the one that it opens in first."""
    found = {first(graph_hash): "Main view"}
    views = state.database().views(graph_hash)
    for view in sorted(views, key=lambda view: (view.id != first(graph_hash), view.changed)):
        found[view.id] = str(view.state.get("name") or found.get(view.id) or view.id)
    return found


def read(id: str, graph: CircuitGraph) -> dict[str, Any] | None:
    """A saved layout as far as it fits the graph, None where there is none of that id."""
    view = state.database().view(id)
    return clean(view.state, {node.id for node in graph.nodes}) if view else None


def keep(id: str, graph: CircuitGraph, layout: Mapping[str, Any]) -> None:
    """Save a layout; its name stays."""
    view = state.database().view(id)
    name = view.state.get("name", "") if view else ""
    fitting = clean(layout, {node.id for node in graph.nodes})
    state.database().save_view(id, graph.manifest.content_hash, {**fitting, "name": name})


def copy(graph: CircuitGraph, layout: Mapping[str, Any] | None, name: str) -> str:
    """Save a layout as a new view; returns its id."""
    id = uuid.uuid4().hex[:12]
    fitting = clean(layout or {}, {node.id for node in graph.nodes})
    state.database().save_view(id, graph.manifest.content_hash, {**fitting, "name": name[:120]})
    return id


def clean(told: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """What of a layout is well-formed and names nodes that are there; each node is in one group at most."""
    groups, homed, taken = [], set(), set()
    for group in _list(told.get("groups")):
        if not isinstance(group, Mapping) or not isinstance(group.get("name"), str):
            continue
        members = [m for m in _ids(group.get("members"), known) if m not in homed]
        name = group["name"][:200]
        if members and name not in taken:
            groups.append({"name": name, "members": members, "rationale": str(group.get("rationale", ""))[:500]})
            homed.update(members)
            taken.add(name)
    moves = told.get("moves")
    places = moves.items() if isinstance(moves, Mapping) else ()
    found: dict[str, Any] = {"pins": _ids(told.get("pins"), known), "groups": groups}
    found["moves"] = {str(key)[:220]: list(at) for key, at in list(places)[:MOST] if _is_place(at)}
    for dial in ("share", "mass", "density"):
        value = told.get(dial)
        if isinstance(value, int | float) and 0 < value <= 1:
            found[dial] = value
    if isinstance(told.get("errors"), bool):
        found["errors"] = told["errors"]
    return found


def with_group(layout: Mapping[str, Any], name: str, members: Iterable[str], rationale: str = "") -> dict[str, Any]:
    """The layout with one more group, its members pinned and out of other groups; the name is made unique."""
    members = list(members)
    groups = [
        {**group, "members": [m for m in group["members"] if m not in members]} for group in layout.get("groups", ())
    ]
    groups = [group for group in groups if group["members"]]
    taken, free, number = {group["name"] for group in groups}, name, 2
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    pins = list(dict.fromkeys([*layout.get("pins", ()), *members]))
    return {**layout, "pins": pins, "groups": [*groups, {"name": free, "members": members, "rationale": rationale}]}


def _list(value: Any) -> list[Any]:
    return value[:MOST] if isinstance(value, list) else []


def _ids(value: Any, known: set[str]) -> list[str]:
    return [id for id in dict.fromkeys(v for v in _list(value) if isinstance(v, str)) if id in known]


def _is_place(value: Any) -> bool:
    fine = isinstance(value, list | tuple) and len(value) == 2
    return fine and all(isinstance(part, int | float) and -1 <= part <= 2 for part in value)
