"""circuit-tracer's and Neuronpedia's graph JSON (schema_version 1), written so that no two nodes share an id.

Error nodes were once called `0_{layer}_{position}`, which is also feature `layer` of layer 0 at that position;
circuit-tracer now writes `{layer}_-1_{position}`, and so does this file. Both are read (`graph_json_read`).
What the format has no field for stands under the key `workbench`, which other readers pass over.
"""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from workbench.core import ArtifactError, CircuitGraph, Node, write_bytes

from .graph_extension import GraphFile, graph_fields, node_fields, pack

TYPES = {
    "feature": "cross layer transcoder",
    "error": "mlp reconstruction error",
    "embed": "embedding",
    "logit": "logit",
    "head": "attention head",
    "mlp": "mlp",
    "code": "codebook code",
    "neuron": "mlp neuron",
}
LARGEST = 100 * 2**20
"""Bytes, compressed, that Neuronpedia takes."""


def cantor(layer: int, index: int) -> int:
    """One number for a layer and a feature, as circuit-tracer pairs them."""
    return (layer + index) * (layer + index + 1) // 2 + index


def graph_document(
    graph: CircuitGraph,
    slug: str = "",
    scan: str = "",
    pinned: Sequence[str] = (),
    supernodes: Iterable[tuple[str, Sequence[str]]] = (),
) -> dict[str, Any]:
    """The graph as JSON data.

    Args:
        slug: name of the graph. scan: name of model or transcoders there; the model's id if empty.
        pinned, supernodes: see `GraphFile`; node ids of this graph.

    Raises:
        ArtifactError: a weight that is not finite, a node outside the prompt, an unknown id.
    """
    _check(graph)
    ids = node_ids(graph)
    by_own = {node.id: name for node, name in zip(graph.nodes, ids, strict=True)}
    cumulative = _cumulative(graph.nodes)
    nodes = [
        _node(node, name, graph, share, bias)
        for node, name, share, bias in zip(graph.nodes, ids, cumulative, graph.bias.tolist(), strict=True)
    ]
    edges = zip(graph.source.tolist(), graph.target.tolist(), graph.weight.tolist(), strict=True)
    links = [{"source": ids[s], "target": ids[t], "weight": weight} for s, t, weight in edges]
    manifest = graph.manifest
    model = manifest.model.id if manifest.model else ""
    metadata = {
        "slug": slug or manifest.name or "graph",
        "scan": scan or model or "unknown",
        "transcoder_list": [],
        "prompt_tokens": list(graph.tokens),
        "prompt": graph.prompt,
        "node_threshold": manifest.details.get("pruned", {}).get("node_share"),
        "schema_version": 1,
        "info": {"generator": {"name": "mech-workbench", "version": manifest.versions.get("mech-workbench", "")}},
    }
    return {
        "metadata": {key: value for key, value in metadata.items() if value is not None},
        "qParams": {
            "pinnedIds": [_known(by_own, name) for name in pinned],
            "supernodes": [[label, *(_known(by_own, name) for name in members)] for label, members in supernodes],
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": nodes,
        "links": links,
        "workbench": graph_fields(graph),
    }


def write_graph_json(file: GraphFile, path: Path, scan: str = "") -> Path:
    """Write `path` (.json or .json.gz), or `<path>/<slug>.json` with the list that circuit-tracer's server reads.

    Raises:
        ArtifactError: see `graph_document`; a place that cannot be written; over 100 MB compressed.
    """
    path = Path(path)
    slug = _file_name(file.slug or file.graph.manifest.name or path.name.split(".")[0])
    document = graph_document(file.graph, slug, scan, file.pinned, file.supernodes)
    data = json.dumps(document, allow_nan=False).encode()
    packed = gzip.compress(data, 6, mtime=0) if path.name.endswith(".gz") or len(data) > LARGEST else b""
    if len(packed) > LARGEST:
        size = f"{len(packed) / 2**20:.0f} MB compressed"
        raise ArtifactError("the graph is larger than other tools take", found=size, hint="prune it first")
    if path.name.endswith((".json", ".gz")):
        write_bytes(path, packed if path.name.endswith(".gz") else data)
        return path
    write_bytes(path / f"{slug}.json", data)
    _list(path, document["metadata"])
    return path / f"{slug}.json"


def node_ids(graph: CircuitGraph) -> list[str]:
    """The id of every node in the file, each once."""
    tokens, used, found = _target_tokens(graph), set(), []
    for node in graph.nodes:
        name = _node_id(node, graph.n_layers, tokens)
        while name in used:
            name += f"_{node.index}"
        used.add(name)
        found.append(name)
    return found


def _node_id(node: Node, n_layers: int, tokens: Mapping[int, int]) -> str:
    match node.kind:
        case "feature":
            return f"{node.layer}_{node.index}_{node.position}"
        case "error":
            return f"{node.layer}_-1_{node.position}"
        case "embed":
            return f"E_{node.index}_{node.position}"
        case "logit":
            return f"{n_layers + 1}_{tokens.get(node.index, node.index)}_{node.position}"
    return f"{node.kind}_{node.layer}_{node.index}_{node.position}"


def _target_tokens(graph: CircuitGraph) -> dict[int, int]:
    """Number of a target -> token id, as far as the manifest says."""
    target = graph.manifest.config.get("target", {})
    tokens = graph.manifest.details.get("target_tokens") or target.get("tokens", ())
    if target.get("kind") == "difference":
        tokens = tokens[:1]
    firsts = [token[0] if isinstance(token, list | tuple) else token for token in tokens]
    return {number: token for number, token in enumerate(firsts) if type(token) is int}


def _node(node: Node, name: str, graph: CircuitGraph, share: float | None, bias: float) -> dict[str, Any]:
    layer = {"embed": "E", "logit": str(graph.n_layers + 1)}.get(node.kind, str(node.layer))
    places = {
        "feature": (cantor(node.layer, node.index), f"{node.layer}_{node.index}-0"),
        "error": (-1, f"{node.layer}_-1-{node.position}"),
        "embed": (node.position, f"E_{node.index}-{node.position}"),
        "logit": (int(name.split("_")[1]) if node.kind == "logit" else 0, f"L_{'-'.join(name.split('_')[1:])}"),
    }
    number, shown = places.get(node.kind, (node.index, name))
    told = {
        "node_id": name,
        "feature": number,
        "layer": layer,
        "ctx_idx": node.position,
        "feature_type": TYPES.get(node.kind, node.kind),
        "token_prob": node.influence if node.kind == "logit" and 0 <= node.influence <= 1 else 0.0,
        "is_target_logit": node.kind == "logit" and node.index == 0,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": shown,
        "clerp": _clerp(node),
        "influence": share,
        "activation": pack(node.activation) if node.kind not in ("embed", "error") else None,
        "workbench": {**node_fields(node), "bias": pack(bias)},
    }
    return {**told, "activation": told["activation"] if isinstance(told["activation"], int | float) else None}


def _clerp(node: Node) -> str:
    if node.kind == "logit":
        return f'Output "{node.label}" (p={node.influence:.3f})'
    return "" if node.kind in ("error", "embed") else node.label


def _cumulative(nodes: Sequence[Node]) -> list[float | None]:
    """circuit-tracer's influence: the share of all influence that is reached with this node, largest first."""
    values = torch.tensor([0.0 if n.kind == "logit" else n.influence for n in nodes], dtype=torch.float64)
    total = float(values.nan_to_num().sum())
    if not total > 0 or not bool(torch.isfinite(values).all()):
        return [None] * len(nodes)
    order = values.argsort(descending=True, stable=True)
    reached = torch.empty_like(values)
    reached[order] = (values[order].cumsum(0) / total).clamp(0, 1)
    shares = reached.tolist()
    return [None if node.kind == "logit" else share for node, share in zip(nodes, shares, strict=True)]


def _check(graph: CircuitGraph) -> None:
    if not bool(torch.isfinite(graph.weight).all()):
        raise ArtifactError("a graph for other tools has finite weights only", hint="trace it again")
    names = [node.id for node in graph.nodes]
    if len(set(names)) < len(names):
        raise ArtifactError("two nodes of the graph have the same id")
    for node in graph.nodes:
        if not 0 <= node.position < len(graph.tokens):
            raise ArtifactError(f"the node {node.id} stands outside the prompt")


def _known(names: Mapping[str, str], wanted: str) -> str:
    if wanted not in names:
        raise ArtifactError(f"the graph has no node {wanted!r}")
    return names[wanted]


def _file_name(text: str) -> str:
    kept = "".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip("-.")
    return kept[:80] or "graph"


def _list(folder: Path, metadata: dict[str, Any]) -> None:
    """Name the graph in graph-metadata.json, in an older entry's place."""
    path = folder / "graph-metadata.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))["graphs"] if path.exists() else []
        others = [one for one in known if one.get("slug") != metadata["slug"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"cannot add to {path}", found=str(error)) from None
    write_bytes(path, json.dumps({"graphs": [*others, metadata]}, indent=2).encode())
