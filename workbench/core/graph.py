"""CircuitGraph: nodes and weighted edges of one prompt's circuit; knows no model."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import networkx
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from . import registry
from .artifact import read_artifact, write_artifact
from .manifest import Manifest
from .unit import Unit

NODE_KINDS = ("embed", "feature", "error", "logit", "head", "mlp", "code", "neuron")


@dataclass(frozen=True)
class Node:
    """One node: where it is, what it is, how active, how much it matters.

    Attributes:
        kind: one of `NODE_KINDS`.
        layer: the layer at which it writes; -1 for embeddings, n_layers for logits.
        position: absolute token position.
        index: feature, token id (embed), target number (logit), 0 for errors.
        unit: the address of a feature, code, neuron or head; None for the rest.
        activation: post-gate activation (features), logit or target value (logits).
        pre_activation: what the incoming edges, errors and bias must add up to (nan where undefined).
        influence: share of the targets' normalised absolute influence (papers: Ameisen et al. 2025).
        effect: signed total linear effect on the metric.
        label: text for people.
    """

    kind: str
    layer: int
    position: int
    index: int = 0
    unit: Unit | None = None
    activation: float = 0.0
    pre_activation: float = float("nan")
    influence: float = 0.0
    effect: float = 0.0
    label: str = ""

    @property
    def id(self) -> str:
        """Unique within a graph: `kind:layer:index:position`."""
        return f"{self.kind}:{self.layer}:{self.index}:{self.position}"


@dataclass(frozen=True)
class CircuitGraph:
    """The attribution graph of one prompt.

    Edges are index lists: `weight[e]` is the contribution of node `source[e]` to node `target[e]`'s
    pre-activation (or logit target). `bias[n]` is each node's constant part. Nodes are topologically sorted.
    """

    nodes: tuple[Node, ...]
    source: Int[Tensor, " e"]
    target: Int[Tensor, " e"]
    weight: Float[Tensor, " e"]
    bias: Float[Tensor, " n"]
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    n_layers: int
    metric: str
    metric_value: float
    scores: dict[str, float] = field(default_factory=dict)
    manifest: Manifest = field(default_factory=lambda: Manifest(kind="graph"))

    def __repr__(self) -> str:
        counts = f"{len(self.nodes)} nodes, {len(self.weight)} edges"
        return f"CircuitGraph({self.metric} = {self.metric_value:.4g}, {counts})"

    @property
    def prompt(self) -> str:
        """The prompt's text, tokens joined."""
        return "".join(self.tokens)

    def find(self, kind: str | None = None, layer: int | None = None, position: int | None = None) -> list[int]:
        """Numbers of the nodes that match every given property."""
        wanted = {"kind": kind, "layer": layer, "position": position}
        wanted = {key: value for key, value in wanted.items() if value is not None}
        return [i for i, node in enumerate(self.nodes) if all(getattr(node, k) == v for k, v in wanted.items())]

    def number(self, node_id: str) -> int:
        """The number of the node with that id.

        Raises:
            KeyError: there is none.
        """
        for i, node in enumerate(self.nodes):
            if node.id == node_id:
                return i
        raise KeyError(f"no node {node_id!r} in this graph")

    def top(self, n: int, kind: str = "feature", by: str = "effect", signed: bool = False) -> list[int]:
        """The n nodes of a kind with the largest `effect` or `influence` (absolute, unless signed)."""
        score = [getattr(node, by) if signed else abs(getattr(node, by)) for node in self.nodes]
        return sorted(self.find(kind), key=lambda i: (-score[i], i))[:n]

    def subgraph(self, keep: Iterable[int]) -> "CircuitGraph":
        """The graph induced by some nodes; edges between them keep their weights."""
        keep = sorted(set(keep))
        place = torch.full((len(self.nodes),), -1, dtype=torch.long)
        place[torch.tensor(keep, dtype=torch.long)] = torch.arange(len(keep))
        source, target = place[self.source], place[self.target]
        alive = (source >= 0) & (target >= 0)
        return replace(
            self,
            nodes=tuple(self.nodes[i] for i in keep),
            source=source[alive],
            target=target[alive],
            weight=self.weight[alive],
            bias=self.bias[torch.tensor(keep, dtype=torch.long)],
        )

    def df(self, table: str = "nodes") -> pd.DataFrame:
        """`nodes` or `edges` as a tidy table."""
        if table == "edges":
            ids = [node.id for node in self.nodes]
            edges = zip(self.source.tolist(), self.target.tolist(), self.weight.tolist(), strict=True)
            return pd.DataFrame([(ids[s], ids[t], w) for s, t, w in edges], columns=["source", "target", "weight"])
        rows = [{"id": node.id, **asdict(node), "unit": str(node.unit or "")} for node in self.nodes]
        return pd.DataFrame(rows).assign(token=[self.tokens[node.position] for node in self.nodes])

    def networkx(self) -> "networkx.DiGraph":
        """Topology for graph algorithms: node ids, edge attribute `weight`."""
        graph = networkx.DiGraph()
        graph.add_nodes_from((node.id, {"kind": node.kind, "layer": node.layer}) for node in self.nodes)
        ids = [node.id for node in self.nodes]
        edges = zip(self.source.tolist(), self.target.tolist(), self.weight.tolist(), strict=True)
        graph.add_weighted_edges_from((ids[s], ids[t], w) for s, t, w in edges)
        return graph

    def fig(self, name: str = "graph") -> Any:
        """A plotly Figure; nothing is shown."""
        return registry.get("figure", name)(self)

    def _repr_html_(self) -> str:
        return registry.get("html", "graph")(self)

    def save(self, folder: Path) -> "CircuitGraph":
        """Write as an artifact of kind `graph`; returns the graph with its content hash filled in."""
        data = {
            "nodes": [_node_json(node) for node in self.nodes],
            "tokens": list(self.tokens),
            "token_ids": list(self.token_ids),
            "n_layers": self.n_layers,
            "metric": self.metric,
            "metric_value": self.metric_value,
            "scores": self.scores,
        }
        tensors = {"source": self.source, "target": self.target, "weight": self.weight, "bias": self.bias}
        manifest = self.manifest.model_copy(update={"kind": "graph", "name": Path(folder).name})
        artifact = write_artifact(Path(folder), manifest, tensors, {"graph.json": data})
        return replace(self, manifest=artifact.manifest)

    @classmethod
    def load(cls, folder: Path) -> "CircuitGraph":
        """Read what `save` wrote."""
        artifact = read_artifact(Path(folder), "graph")
        data = artifact.json("graph.json")
        nodes = tuple(_node_from_json(item) for item in data.pop("nodes"))
        tokens, token_ids = tuple(data.pop("tokens")), tuple(data.pop("token_ids"))
        tensors = artifact.tensors()
        return cls(nodes=nodes, tokens=tokens, token_ids=token_ids, manifest=artifact.manifest, **tensors, **data)


def _node_json(node: Node) -> dict[str, Any]:
    data = {key: value for key, value in asdict(node).items() if value == value}
    return {**data, "unit": str(node.unit) if node.unit else None}


def _node_from_json(data: dict[str, Any]) -> Node:
    return Node(**{**data, "unit": Unit.parse(data["unit"]) if data.get("unit") else None})
