"""GraphML: a circuit graph for Gephi, yEd, Cytoscape and networkx, and back."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx

from workbench.core import ArtifactError, Node, Unit, write_bytes

from .graph_extension import GraphFile, assemble_graph, graph_fields, pack, parse_unit, unpack

LARGEST = 2**30
UNWRITABLE = re.compile("[\x00-\x1f\x7f-\x9f\\\\\ud800-\udfff\ufffe\uffff]")
WRITTEN = re.compile(r"\\u([0-9a-f]{4})")


def write_graph_xml(file: GraphFile, path: Path, scan: str = "") -> Path:
    """Write one `.graphml`; every field of a node is an attribute, the rest stands in the attribute `workbench`.

    Args:
        scan: of no use here.

    Raises:
        ArtifactError: the place cannot be written.
    """
    graph, made = file.graph, networkx.MultiDiGraph()
    made.graph["workbench"] = json.dumps(graph_fields(graph), allow_nan=False)
    choice = {"slug": file.slug, "pinned": file.pinned, "supernodes": file.supernodes}
    made.graph["chosen"] = json.dumps(pack(choice))
    for node, bias in zip(graph.nodes, graph.bias.tolist(), strict=True):
        told = {one.name: _plain(getattr(node, one.name)) for one in fields(Node)}
        token = graph.tokens[node.position] if 0 <= node.position < len(graph.tokens) else ""
        made.add_node(_escaped(node.id), **told, bias=bias, token=_escaped(token))
    ids = [_escaped(node.id) for node in graph.nodes]
    edges = zip(graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), strict=True)
    for number, (source, target, weight) in enumerate(edges):
        made.add_edge(ids[source], ids[target], key=number, weight=weight, number=number)
    out = io.BytesIO()
    networkx.write_graphml_xml(made, out, named_key_ids=True)
    path = Path(path)
    path = path if path.suffix == ".graphml" else path / f"{file.slug or 'graph'}.graphml"
    write_bytes(path, out.getvalue())
    return path


def read_graph_xml(path: Path) -> GraphFile:
    """Read what `write_graph_xml` wrote, also where another program dropped nodes or edges since.

    Raises:
        ArtifactError: in one line, the first thing that is wrong.
    """
    path = Path(path)
    try:
        return _read(_parse(path))
    except ArtifactError as error:
        raise ArtifactError(f"cannot read the graph {path.name}: {error}") from None


def _parse(path: Path) -> "networkx.MultiDiGraph":
    try:
        if path.stat().st_size > LARGEST:
            raise ArtifactError(f"it holds more than {LARGEST >> 30} GB")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ArtifactError(f"there is no file {path}") from None
    except UnicodeDecodeError:
        raise ArtifactError("it is not written in UTF-8") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ArtifactError("it declares a document type, which a graph needs not")
    try:
        made = networkx.parse_graphml(text, force_multigraph=True)
    except (ParseError, networkx.NetworkXError, ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise ArtifactError("it is no GraphML", found=str(error)[:200] or type(error).__name__) from None
    if not made.is_directed():
        raise ArtifactError("its edges have no direction")
    return made


def _read(made: "networkx.MultiDiGraph") -> GraphFile:
    told = _json(made.graph.get("workbench"), "workbench")
    chosen = _json(made.graph.get("chosen", "{}"), "chosen")
    places, nodes, bias = {}, [], []
    for name, values in made.nodes(data=True):
        places[name] = len(nodes)
        node, constant = _node(name, values)
        nodes.append(node)
        bias.append(constant)
    edges = sorted(made.edges(data=True), key=lambda edge: _edge_number(edge[2]))
    weights = [_weight(source, target, values) for source, target, values in edges]
    columns = [places[source] for source, _, _ in edges], [places[target] for _, target, _ in edges], weights
    graph = assemble_graph(told, tuple(nodes), columns, bias)
    return GraphFile(graph, *_choice(chosen))


def _choice(chosen: Mapping[str, Any]) -> tuple[str, tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    try:
        groups = tuple((str(label), tuple(map(str, members))) for label, members in chosen.get("supernodes", ()))
        return str(chosen.get("slug", "")), tuple(map(str, chosen.get("pinned", ()))), groups
    except (TypeError, ValueError):
        raise ArtifactError("its pins and supernodes cannot be read") from None


def _json(text: Any, name: str) -> dict[str, Any]:
    if not isinstance(text, str):
        raise ArtifactError(f"the graph has no attribute {name!r}", hint="only graphs of this house are read")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the attribute {name!r} is no JSON", found=str(error)[:100]) from None
    if not isinstance(data, dict):
        raise ArtifactError(f"the attribute {name!r} is no table")
    return unpack(data) if name != "workbench" else data


def _node(name: str, values: Mapping[str, Any]) -> tuple[Node, float]:
    told = {}
    for one in fields(Node):
        if one.name not in values:
            continue
        value, kind = values[one.name], getattr(one.type, "__name__", str(one.type))
        if kind in ("int", "float") and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise ArtifactError(f"node {name!r:.60}: {one.name} is no number", found=f"found {value!r:.60}")
        told[one.name] = {"int": int, "float": float}.get(kind, lambda text: _unescaped(str(text)))(value)
    if missing := [key for key in ("kind", "layer", "position") if key not in told]:
        raise ArtifactError(f"node {name!r:.60} has no {missing[0]}")
    told["unit"] = parse_unit(told["unit"], f"node {name!r:.60}") if told.get("unit") else None
    bias = values.get("bias", 0.0)
    if not isinstance(bias, int | float) or isinstance(bias, bool):
        raise ArtifactError(f"node {name!r:.60}: the bias is no number")
    return Node(**told), float(bias)


def _weight(source: str, target: str, values: Mapping[str, Any]) -> float:
    weight = values.get("weight")
    if not isinstance(weight, int | float) or isinstance(weight, bool):
        raise ArtifactError(f"the edge from {source!r:.60} to {target!r:.60} has no weight")
    return float(weight)


def _edge_number(values: Mapping[str, Any]) -> float:
    number = values.get("number")
    return float(number) if isinstance(number, int | float) else float("inf")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, Unit | str):
        return _escaped(str(value or ""))
    return value


def _escaped(text: str) -> str:
    """Characters that XML cannot hold or would change, as \\uXXXX."""
    return UNWRITABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _unescaped(text: str) -> str:
    return WRITTEN.sub(lambda found: chr(int(found[1], 16)), text)
