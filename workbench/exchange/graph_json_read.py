"""Reading circuit-tracer's and Neuronpedia's graph JSON, old ids that two nodes share included."""

import json
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from workbench.core import ArtifactError, Node

from .graph_extension import GraphFile, assemble_graph, node_from_fields, unpack
from .graph_json_foreign import foreign_fields, foreign_nodes
from .shared_ids import Ambiguous, resolve

MOST = sys.float_info.max
LARGEST = 2 * 2**30
"""Bytes of JSON that are read at most."""


def read_graph_json(path: Path) -> GraphFile:
    """Read a graph file (.json or gzip) and check every part of it.

    Raises:
        ArtifactError: in one line, the first thing that is wrong.
    """
    path = Path(path)
    data = _load(path)
    try:
        return graph_from_document(data)
    except ArtifactError as error:
        raise ArtifactError(f"cannot read the graph {path.name}: {error}") from None


def graph_from_document(data: Any) -> GraphFile:
    """A graph from JSON data; see `read_graph_json`."""
    metadata, entries, links = _parts(data)
    records = [_record(entry, number) for number, entry in enumerate(entries)]
    tokens = _texts(metadata.get("prompt_tokens"), "prompt_tokens")
    extension = data.get("workbench")
    if extension is None:
        made = foreign_nodes(records, tokens)
        notes = ["written by another tool: biases and signed effects are not in the file"]
    else:
        made = [node_from_fields(_own(record), f"node {number}") for number, record in enumerate(records)]
        notes = []
    order = list(range(len(made))) if extension is not None else _sorted(made)
    edges, unsure = _edges(records, links, made, order)
    if unsure:
        notes.append(f"{unsure} links name an id that a feature and an error share; they were given to the feature")
    nodes = tuple(made[i] for i in order)
    bias = [_bias(records[i], extension is not None) for i in order]
    told = extension if extension is not None else foreign_fields(metadata, nodes, tokens)
    if not isinstance(told, Mapping):
        raise ArtifactError("the part `workbench` is no table")
    graph = assemble_graph(told, nodes, edges, bias)
    _check_direction(graph.nodes, edges)
    pinned, supernodes = _chosen(data.get("qParams") or {}, records, made)
    return GraphFile(graph, str(metadata.get("slug", ""))[:200], pinned, supernodes, tuple(notes))


def _load(path: Path) -> Any:
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            stream = zlib.decompressobj(31)
            raw = stream.decompress(raw, LARGEST)
            if stream.unconsumed_tail:
                raise ArtifactError(f"{path.name} holds more than {LARGEST >> 30} GB")
            if not stream.eof:
                raise ArtifactError(f"{path.name} is cut off")
        return json.loads(raw, parse_constant=_no_constant)
    except FileNotFoundError:
        raise ArtifactError(f"there is no file {path}") from None
    except RecursionError:
        raise ArtifactError(f"{path.name} is nested too deeply") from None
    except (ValueError, zlib.error) as error:
        raise ArtifactError(f"{path.name} is no JSON", found=str(error)[:200]) from None
    except OSError as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"cannot read {path}", found=error.strerror) from None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _parts(data: Any) -> tuple[dict[str, Any], list[Any], list[Any]]:
    if not isinstance(data, dict):
        raise ArtifactError("wanted an object with metadata, nodes and links", found=f"found {type(data).__name__}")
    for name, kind in (("metadata", dict), ("nodes", list), ("links", list)):
        if not isinstance(data.get(name), kind):
            raise ArtifactError(f"the part {name!r} is missing or no {kind.__name__}")
    version = data["metadata"].get("schema_version", 1)
    if version not in (1, None):
        raise ArtifactError("wanted schema_version 1", found=f"found {version!r:.40}")
    return data["metadata"], data["nodes"], data["links"]


def _record(entry: Any, number: int) -> dict[str, Any]:
    """One node's table with the fields that everything needs checked."""
    where = f"node {number}"
    if not isinstance(entry, dict):
        raise ArtifactError(f"{where} is no table", found=f"found {type(entry).__name__}")
    for name, fine in FIELDS.items():
        if not fine(entry.get(name)):
            raise ArtifactError(f"{where}: {name} is missing or wrong", found=f"found {entry.get(name)!r:.60}")
    return entry


def _whole(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**62


FIELDS: dict[str, Callable[[Any], bool]] = {
    "node_id": lambda value: isinstance(value, str) and 0 < len(value) <= 200,
    "layer": lambda value: _whole(value) or (isinstance(value, str) and (value == "E" or value.lstrip("-").isdigit())),
    "ctx_idx": lambda value: _whole(value) and value >= 0,
    "feature_type": lambda value: isinstance(value, str),
    "feature": lambda value: value is None or _whole(value),
}


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ArtifactError(f"{name} is no list of texts")
    return tuple(value)


def _own(record: Mapping[str, Any]) -> dict[str, Any]:
    told = record.get("workbench")
    if not isinstance(told, dict):
        raise ArtifactError(f"{record['node_id']}: the part `workbench` is missing")
    return {key: value for key, value in told.items() if key != "bias"}


def _bias(record: Mapping[str, Any], own: bool) -> float:
    if not own:
        return 0.0
    value = unpack(record["workbench"].get("bias", 0.0))
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ArtifactError(f"{record['node_id']}: the bias is no number")
    return float(value)


def _sorted(nodes: Sequence[Node]) -> list[int]:
    ranks = {"embed": -1, "logit": 2**40}
    return sorted(range(len(nodes)), key=lambda i: ranks.get(nodes[i].kind, nodes[i].layer))


def _edges(
    records: Sequence[Mapping[str, Any]], links: Sequence[Any], nodes: Sequence[Node], order: Sequence[int]
) -> tuple[tuple[list[int], list[int], list[float]], int]:
    """source, target and weight of every link in places of `order`, and how many links were a guess."""
    holders: dict[str, list[int]] = defaultdict(list)
    for number, record in enumerate(records):
        holders[record["node_id"]].append(number)
    place = {number: rank for rank, number in enumerate(order)}
    for name, numbers in holders.items():
        kinds = [nodes[i].kind for i in numbers]
        if len(numbers) > 1 and sorted(kinds) != ["error", "feature"]:
            raise ArtifactError(f"two nodes are called {name!r:.60}")
    told = [_link(link, number, holders) for number, link in enumerate(links)]
    chosen, unsure = resolve(Ambiguous(told, holders, nodes))
    source, target = [place[s] for s, _ in chosen], [place[t] for _, t in chosen]
    return (source, target, [weight for _, _, weight in told]), unsure


def _link(link: Any, number: int, holders: Mapping[str, list[int]]) -> tuple[str, str, float]:
    if not isinstance(link, dict):
        raise ArtifactError(f"link {number} is no table", found=f"found {type(link).__name__}")
    for name in ("source", "target"):
        if not isinstance(link.get(name), str) or link[name] not in holders:
            raise ArtifactError(f"link {number}: there is no node {link.get(name)!r:.60}", found=f"as its {name}")
    weight = link.get("weight")
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not abs(weight) <= MOST:
        raise ArtifactError(f"link {number}: the weight is no finite number", found=f"found {weight!r:.60}")
    return link["source"], link["target"], float(weight)


def _check_direction(nodes: Sequence[Node], edges: tuple[list[int], list[int], list[float]]) -> None:
    for source, target in zip(edges[0], edges[1], strict=True):
        if source == target or nodes[source].layer > nodes[target].layer:
            found = f"from {nodes[source].id} to {nodes[target].id}"
            raise ArtifactError("a link runs from a later layer to an earlier one", found=found)


def _chosen(
    params: Any, records: Sequence[Mapping[str, Any]], nodes: Sequence[Node]
) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    """Pinned ids and supernodes as ids of this house; names that no node has are passed over."""
    names: dict[str, str] = {}
    for record, node in zip(records, nodes, strict=True):
        names.setdefault(record["node_id"], node.id)
    if not isinstance(params, dict):
        raise ArtifactError("the part 'qParams' is no table")
    pins, groups = params.get("pinnedIds") or [], params.get("supernodes") or []
    if not isinstance(pins, list) or not isinstance(groups, list):
        raise ArtifactError("pinnedIds and supernodes must be lists")
    pinned = tuple(names[name] for name in pins if isinstance(name, str) and name in names)
    supernodes = []
    for group in groups:
        if not isinstance(group, list) or not group or not all(isinstance(name, str) for name in group):
            raise ArtifactError("a supernode is a list of its name and its members")
        supernodes.append((group[0], tuple(names[name] for name in group[1:] if name in names)))
    return pinned, tuple(supernodes)
