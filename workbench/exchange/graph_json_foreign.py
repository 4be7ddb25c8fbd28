"""Nodes and graph fields out of graph JSON that another tool wrote."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from workbench.core import ArtifactError, Manifest, Node

KINDS = {
    "cross layer transcoder": "feature",
    "per layer transcoder": "feature",
    "transcoder": "feature",
    "mlp reconstruction error": "error",
    "embedding": "embed",
    "logit": "logit",
    "attention head": "head",
    "lorsa": "head",
    "lorsa error": "error",
    "mlp": "mlp",
    "codebook code": "code",
    "mlp neuron": "neuron",
}


def _number(record: Mapping[str, Any], name: str, default: float = 0.0) -> float:
    value = record.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e300:
        raise ArtifactError(f"{record['node_id']}: {name} is no number", found=f"found {value!r:.60}")
    return float(value)


def kind_of(record: Mapping[str, Any]) -> str:
    """The kind of node that a feature_type means; unknown ones are features."""
    name = record["feature_type"].strip().lower()
    return KINDS.get(name, "head" if "lorsa" in name or "attention" in name else "feature")


def foreign_nodes(records: Sequence[Mapping[str, Any]], tokens: tuple[str, ...]) -> list[Node]:
    """One node a record, in the file's order.

    Raises:
        ArtifactError: a record that tells no feature, layer or number.
    """
    return _finished([_node(record, tokens) for record in records], records)


def _node(record: Mapping[str, Any], tokens: tuple[str, ...]) -> Node:
    kind, position = kind_of(record), record["ctx_idx"]
    if kind == "embed":
        layer = -1
    elif record["layer"] == "E":
        raise ArtifactError(f"{record['node_id']} is no embedding but stands at layer E")
    else:
        layer = int(record["layer"])
    clerp = record.get("clerp")
    label: str = clerp if isinstance(clerp, str) else ""
    if kind == "embed" and position < len(tokens):
        label = tokens[position]
    if kind == "logit" and (told := OUTPUT.fullmatch(label)):
        label = told["token"]
    activation = _number(record, "activation")
    return Node(kind, layer, position, _index(kind, layer, record), activation=activation, label=label)


def _index(kind: str, layer: int, record: Mapping[str, Any]) -> int:
    """The feature, token or target: from an id in the usual form, else from the paired number, else as it stands."""
    parts, number = record["node_id"].split("_"), record.get("feature")
    if kind == "error":
        return 0
    if kind == "embed":
        return int(parts[1]) if len(parts) == 3 and parts[1].isdigit() and len(parts[1]) < 19 else 0
    if kind == "logit":
        return number if number is not None else 0
    if len(parts) == 3 and all(p.isdigit() and len(p) < 19 for p in parts) and int(parts[0]) == layer:
        return int(parts[1])
    if number is None or number < 0:
        raise ArtifactError(f"{record['node_id']}: no feature number")
    paired = unpair(number)
    return paired[1] if paired[0] == layer else number


def unpair(number: int) -> tuple[int, int]:
    """(layer, feature) of a paired number, in whole numbers throughout: floats are wrong above 2^53."""
    total = (math.isqrt(8 * number + 1) - 1) // 2
    index = number - total * (total + 1) // 2
    return total - index, index


def _finished(nodes: Sequence[Node], records: Sequence[Mapping[str, Any]]) -> list[Node]:
    """Nodes with the logits' layer above all others and influence as a share, not as the share reached with it."""
    n_layers = layers_of(nodes)
    reached = sorted(
        (value, i)
        for i, (node, record) in enumerate(zip(nodes, records, strict=True))
        if node.kind != "logit" and (value := _number(record, "influence", -1.0)) >= 0
    )
    shares, before = {}, 0.0
    for value, i in reached:
        shares[i], before = value - before, value
    probabilities = {i: _number(records[i], "token_prob") for i, node in enumerate(nodes) if node.kind == "logit"}
    whole = sum(probabilities.values())
    found = []
    for i, node in enumerate(nodes):
        if node.kind == "logit":
            share = probabilities[i] / whole if whole > 0 else 1 / len(probabilities)
            found.append(replace(node, layer=n_layers, influence=share))
        else:
            found.append(replace(node, influence=shares.get(i, 0.0)))
    return found


def layers_of(nodes: Sequence[Node]) -> int:
    """Layers of the model: circuit-tracer puts logits two above the last one, others one above."""
    inner = max((node.layer for node in nodes if node.kind not in ("logit", "embed")), default=-1) + 1
    top = max((node.layer for node in nodes if node.kind == "logit"), default=inner)
    return max(inner, top - 1)


OUTPUT = re.compile(r'Output "(?P<token>.*)" \(p=[0-9.]+\)', re.DOTALL)


def foreign_fields(metadata: Mapping[str, Any], nodes: Sequence[Node], tokens: tuple[str, ...]) -> dict[str, Any]:
    """The graph's own fields: what the file does not hold (biases, the metric's value) is nan or left out."""
    ids = {node.position: node.index for node in nodes if node.kind == "embed"}
    targets = [node.label or str(node.index) for node in nodes if node.kind == "logit"]
    kept = {key: metadata[key] for key in ("slug", "scan", "info", "generation_settings", "pruning_settings")
            if key in metadata}  # fmt: skip
    manifest = Manifest(kind="graph", name=str(metadata.get("slug", ""))[:200], details={"imported": kept})
    return {
        "tokens": list(tokens),
        "token_ids": [ids.get(position, 0) for position in range(len(tokens))],
        "n_layers": layers_of(nodes),
        "metric": f"logits of {', '.join(targets)}"[:500] if targets else "logits",
        "metric_value": float("nan"),
        "manifest": manifest.model_dump(mode="json"),
    }
