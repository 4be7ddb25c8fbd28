"""MIB and EAP-IG circuit files: JSON with a score and a flag `in_graph` for every edge and node.

Those files know a key and a value input for every query head. Where heads share them, an edge into a group is written
once per head; read back, a group takes the largest |score| of its heads, and is in the circuit if one of them is.
"""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import ArtifactError, ConfigError, Result, write_json
from workbench.models import HookedModel

from .circuit_runs import largest
from .components import Components


def write_circuit(path: Path, model: HookedModel, scores: Result, size: int | None = None) -> None:
    """Write the edges of a Result; in the circuit are its `kept` edges, the `size` largest by |score|, or all.

    Raises:
        ConfigError: a Result without edges.
    """
    if "edges" not in scores.tables:
        raise ConfigError("a circuit file holds edges", f"this Result has {sorted(scores.tables)}", "use eap")
    components, rows = Components.of(model.shape), scores.tables["edges"]
    matrix = components.edge_scores(rows)
    if size is not None:
        keep = largest(matrix, components.allowed, size, absolute=True)
    else:
        keep = torch.zeros_like(components.allowed)
        for row in rows:
            keep[components.edge(row["edge"])] = bool(row.get("kept", True))
    write_json(path, _contents(components, model, matrix, keep, scores))


def _contents(
    components: Components, model: HookedModel, matrix: Tensor, keep: Tensor, scores: Result
) -> dict[str, Any]:
    edges, used = {}, {"input", "logits"}
    for reader, source in components.allowed.nonzero().tolist():
        name, flag = components.sources[source], bool(keep[reader, source])
        part = components.readers[reader].partition("<")[2]
        for node in components.nodes_of_reader(reader):
            target = f"{node}<{part}" if part else node
            edges[f"{name}->{target}"] = {"score": float(matrix[reader, source]), "in_graph": flag}
            used |= {name, node} if flag else set()
    nodes: dict[str, dict[str, Any]] = {name: {"in_graph": name in used} for name in components.nodes}
    for row in scores.tables.get("nodes", []):
        nodes[row["node"]]["score"] = float(row["score"])
    config = {
        "n_layers": components.n_layers,
        "n_heads": components.n_heads,
        "parallel_attn_mlp": components.parallel,
        "d_model": model.shape.d_model,
    }
    return {"cfg": config, "nodes": nodes, "edges": edges}


def read_circuit(path: Path, components: Components) -> tuple[Result, Bool[Tensor, "readers sources"]]:
    """The scores of a circuit file as a Result, and the edges that are in its circuit.

    Raises:
        ArtifactError: no such file, no circuit file, or one of a model of another size.
    """
    data = _read(path)
    found = data["cfg"]
    wanted = {"n_layers": components.n_layers, "n_heads": components.n_heads}
    for key, value in wanted.items():
        if int(found.get(key, -1)) != value:
            raise ArtifactError(f"{path.name} is of another model", f"its {key} is {found.get(key)}, here {value}")
    if bool(found.get("parallel_attn_mlp", False)) != components.parallel:
        raise ArtifactError(f"{path.name} is of another model", "there attention and MLP are arranged otherwise")
    scores = torch.zeros(components.allowed.shape, dtype=torch.float64)
    keep = torch.zeros_like(components.allowed)
    for name, entry in data["edges"].items():
        try:
            place, score = components.edge(name), float(entry.get("score") or 0.0)
        except (ConfigError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(f"cannot read the edge {name!r} of {path.name}", str(error)) from None
        keep[place] |= bool(entry.get("in_graph", False))
        if abs(score) > abs(float(scores[place])):
            scores[place] = score
    return _as_result(path, components, scores, data), keep


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"cannot read the circuit {path.name}", str(error)) from None
    if not isinstance(data, dict) or not all(isinstance(data.get(key), dict) for key in ("cfg", "nodes", "edges")):
        raise ArtifactError(
            f"{path.name} is no circuit file", "it needs cfg, nodes and edges", "see MIB's circuit track"
        )
    return data


def _as_result(path: Path, components: Components, scores: Float[Tensor, "r s"], data: dict[str, Any]) -> Result:
    given = {name: entry["score"] for name, entry in data["nodes"].items() if entry.get("score") is not None}
    rows = components.node_rows(torch.where(components.allowed, scores, 0).sum(0))
    nodes = [{**row, "score": float(given.get(row["node"], row["score"]))} for row in rows]
    tables = {"edges": components.edge_rows(scores), "nodes": nodes}
    return Result("component_scores", tables=tables, params={"scorer": path.stem, "level": "edge"})
