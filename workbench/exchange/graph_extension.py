"""What other graph formats have no place for: carried along as JSON data, so that any graph survives the way."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from workbench.core import ArtifactError, CircuitGraph, ConfigError, Manifest, Node, SiteError, Unit

SCHEMA = "workbench.graph/1"
HELD_APART = ("nodes", "source", "target", "weight", "bias", "manifest")
PLAIN = {"int": int, "float": (int, float), "str": str}


@dataclass(frozen=True)
class GraphFile:
    """A graph as a file holds it, with what people chose in it.

    pinned: node ids (`Node.id`) on the subgraph. supernodes: name -> member node ids. notes: what reading decided.
    """

    graph: CircuitGraph
    slug: str = ""
    pinned: tuple[str, ...] = ()
    supernodes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    notes: tuple[str, ...] = field(default=())


def pack(value: Any) -> Any:
    """JSON data in which numbers that JSON cannot write stand as {"float": "nan"}."""
    if isinstance(value, Mapping):
        return {str(key): pack(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [pack(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    return value


def unpack(value: Any) -> Any:
    """What `pack` was given, tuples as lists."""
    if isinstance(value, dict):
        if set(value) == {"float"} and value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        return {key: unpack(item) for key, item in value.items()}
    return [unpack(item) for item in value] if isinstance(value, list) else value


def node_fields(node: Node) -> dict[str, Any]:
    """Every field of a node that is not at its default."""
    found = {}
    for one in fields(Node):
        value = getattr(node, one.name)
        if repr(value) != repr(one.default):  # tells -0.0 from 0.0, and nan from what is not
            found[one.name] = str(value) if isinstance(value, Unit) else value
    return pack(found)


def node_from_fields(data: Any, where: str) -> Node:
    """The node that `node_fields` told of.

    Raises:
        ArtifactError: a field that is missing, unknown or of another type.
    """
    if not isinstance(data, dict):
        raise ArtifactError(f"{where}: wanted a table of fields", found=f"found {type(data).__name__}")
    values, known = unpack(data), {one.name: one for one in fields(Node)}
    for name, value in values.items():
        if name not in known:
            raise ArtifactError(f"{where}: a node has no field {name[:40]!r}")
        kind = PLAIN.get(str(getattr(known[name].type, "__name__", known[name].type)))
        if kind is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ArtifactError(f"{where}: {name} is of the wrong type", found=f"found {value!r:.60}")
    if missing := [n for n, one in known.items() if one.default is MISSING and n not in values]:
        raise ArtifactError(f"{where}: the field {missing[0]} is missing")
    if values.get("unit") is not None:
        values["unit"] = parse_unit(values["unit"], where)
    return Node(**values)


def parse_unit(text: Any, where: str) -> Unit:
    """A unit's address; the error says in which node it stood."""
    try:
        return Unit.parse(str(text))
    except (ConfigError, SiteError) as error:
        raise ArtifactError(f"{where}: {error}") from None


def graph_fields(graph: CircuitGraph) -> dict[str, Any]:
    """Everything of a graph but its nodes and edges."""
    told = {one.name: getattr(graph, one.name) for one in fields(CircuitGraph) if one.name not in HELD_APART}
    dtype = str(graph.weight.dtype).removeprefix("torch.")
    return pack({"schema": SCHEMA, "dtype": dtype, **told, "manifest": graph.manifest.model_dump(mode="json")})


def assemble_graph(
    told: Mapping[str, Any],
    nodes: tuple[Node, ...],
    edges: tuple[list[int], list[int], list[float]],
    bias: list[float],
) -> CircuitGraph:
    """A graph from what `graph_fields` told and its parts.

    Raises:
        ArtifactError: anything that contradicts itself.
    """
    values = unpack(dict(told))
    if values.pop("schema", SCHEMA) != SCHEMA:
        raise ArtifactError(f"wanted a graph of schema {SCHEMA}", found=f"found {told['schema']!r:.40}")
    dtype = getattr(torch, str(values.pop("dtype", "float32")), None)
    if dtype not in (torch.float32, torch.float64):
        raise ArtifactError("wanted edges in float32 or float64", found=f"found {told['dtype']!r:.40}")
    known = {one.name for one in fields(CircuitGraph)} - set(HELD_APART) | {"manifest"}
    if unknown := sorted(set(values) - known):
        raise ArtifactError(f"a graph has no field {unknown[0][:40]!r}")
    try:
        manifest = Manifest.model_validate(values.pop("manifest", {"kind": "graph"}))
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtifactError("the manifest is not valid", found=f"{first['loc']}: {first['msg']}") from None
    values["tokens"], values["token_ids"] = tuple(values.get("tokens", ())), tuple(values.get("token_ids", ()))
    _check_values(values)
    graph = CircuitGraph(
        nodes=nodes,
        source=torch.tensor(edges[0], dtype=torch.long),
        target=torch.tensor(edges[1], dtype=torch.long),
        weight=_numbers(edges[2], dtype),
        bias=_numbers(bias, dtype),
        manifest=manifest,
        **values,
    )
    _check_nodes(graph)
    return graph


def _numbers(values: list[float], dtype: torch.dtype) -> Tensor:
    try:
        return torch.tensor(values, dtype=torch.float64).to(dtype)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise ArtifactError("a weight or bias is no number") from None


def _check_values(values: Mapping[str, Any]) -> None:
    checks = {
        "tokens": all(isinstance(token, str) for token in values["tokens"]),
        "token_ids": all(type(token) is int for token in values["token_ids"]),
        "n_layers": type(values.get("n_layers")) is int and 0 <= values["n_layers"] <= 100_000,
        "metric": isinstance(values.get("metric"), str),
        "metric_value": isinstance(values.get("metric_value"), int | float),
        "scores": isinstance(values.get("scores", {}), dict)
        and all(isinstance(score, int | float) for score in values.get("scores", {}).values()),
    }
    if wrong := [name for name, fine in checks.items() if not fine]:
        raise ArtifactError(f"the graph's {wrong[0]} cannot be read", found=f"found {values.get(wrong[0])!r:.60}")
    if len(values["token_ids"]) not in (0, len(values["tokens"])):
        found = f"{len(values['tokens'])} tokens, {len(values['token_ids'])} ids"
        raise ArtifactError("wanted an id for every token", found=found)


def _check_nodes(graph: CircuitGraph) -> None:
    seen: set[str] = set()
    for node in graph.nodes:
        if node.id in seen:
            raise ArtifactError(f"two nodes are {node.id!r}")
        seen.add(node.id)
        if not 0 <= node.position < len(graph.tokens):
            found = f"the prompt has {len(graph.tokens)} tokens"
            raise ArtifactError(f"the node {node.id!r} is at position {node.position}", found=found)
        if not -1 <= node.layer <= graph.n_layers:
            found = f"the graph has {graph.n_layers} layers"
            raise ArtifactError(f"the node {node.id!r} is at layer {node.layer}", found=found)
    if len(graph.bias) != len(graph.nodes):
        raise ArtifactError("wanted a bias for every node", found=f"{len(graph.nodes)} nodes, {len(graph.bias)} biases")
    if not bool(torch.isfinite(graph.weight).all()):
        raise ArtifactError("an edge's weight is not finite")
