"""The component graph of a model: which parts write to the residual stream, which read it, and the edges between.

Names are those of EAP-IG and MIB: nodes `input`, `a{layer}.h{head}`, `m{layer}`, `logits`; edges
`a0.h0->a1.h0<q>`, `a0.h1->m1`, `m0->logits`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import ConfigError, Site
from workbench.models import ModelShape

_NODE = re.compile(r"input|logits|m(\d+)|a(\d+)\.h(\d+)")
_READER = re.compile(r"(a(\d+)\.h(\d+))<([qkv])>")


@dataclass(frozen=True)
class Components:
    """Sources (what writes) and readers (what reads), in the order of computation, and who can feed whom.

    Sources: `input`, then per layer its heads and its MLP. Readers: per layer the queries of every head, the keys
    and the values of every key/value head, the MLP; then `logits`. Under grouped-query attention the query heads of a
    group share keys and values, so `a1.h0<k>` and `a1.h1<k>` may be one reader; it is listed under its first head.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    parallel: bool = False

    @classmethod
    def of(cls, shape: ModelShape) -> "Components":
        return cls(shape.n_layers, shape.n_heads, shape.n_kv_heads, shape.parallel)

    @property
    def sources_per_layer(self) -> int:
        return self.n_heads + 1

    @property
    def readers_per_layer(self) -> int:
        return self.n_heads + 2 * self.n_kv_heads + 1

    @cached_property
    def sources(self) -> tuple[str, ...]:
        layers = ((*(f"a{i}.h{h}" for h in range(self.n_heads)), f"m{i}") for i in range(self.n_layers))
        return ("input", *(name for layer in layers for name in layer))

    @cached_property
    def readers(self) -> tuple[str, ...]:
        group = self.n_heads // self.n_kv_heads
        found: list[str] = []
        for i in range(self.n_layers):
            found += [f"a{i}.h{h}<q>" for h in range(self.n_heads)]
            found += [f"a{i}.h{h * group}<{part}>" for part in "kv" for h in range(self.n_kv_heads)]
            found.append(f"m{i}")
        return (*found, "logits")

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Every node: the sources and `logits`."""
        return (*self.sources, "logits")

    @cached_property
    def allowed(self) -> Bool[Tensor, "readers sources"]:
        """True where an edge exists."""
        reach = [self.visible(i, part == "mlp") for i in range(self.n_layers) for part in self._parts()]
        return torch.arange(len(self.sources)) < torch.tensor([*reach, len(self.sources)])[:, None]

    def visible(self, layer: int, mlp: bool = False) -> int:
        """How many sources come before the readers of a layer (its MLP sees its heads, unless they run in parallel)."""
        heads = self.n_heads if mlp and not self.parallel else 0
        return 1 + layer * self.sources_per_layer + heads

    def _parts(self) -> Sequence[str]:
        return [*("q" * self.n_heads), *("k" * self.n_kv_heads), *("v" * self.n_kv_heads), "mlp"]

    def heads(self, layer: int) -> slice:
        """The heads of a layer among the sources; its MLP follows them."""
        first = 1 + layer * self.sources_per_layer
        return slice(first, first + self.n_heads)

    def mlp(self, layer: int) -> int:
        """The MLP of a layer among the sources."""
        return (layer + 1) * self.sources_per_layer

    def reading(self, layer: int) -> dict[Site, slice]:
        """Which readers of a layer read at which Site, in the order of computation."""
        start, q, kv = layer * self.readers_per_layer, self.n_heads, self.n_kv_heads
        sizes = {"attn_q_input": q, "attn_k_input": kv, "attn_v_input": kv, "mlp_input": 1}
        found = {}
        for kind, size in sizes.items():
            found[Site(kind, layer)] = slice(start, start + size)
            start += size
        return found

    @property
    def last_site(self) -> Site:
        """Where `logits` reads."""
        return Site("resid_post", self.n_layers - 1)

    @cached_property
    def _source_numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.sources)}

    @cached_property
    def _reader_numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.readers)}

    def source(self, name: str) -> int:
        """The number of a source.

        Raises:
            ConfigError: the model has no such node, or it writes nothing.
        """
        if name not in self._source_numbers:
            raise ConfigError(f"this model has no source {name!r}", hint=self._range())
        return self._source_numbers[name]

    def reader(self, name: str) -> int:
        """The number of a reader; keys and values of a query head are those of its group.

        Raises:
            ConfigError: the model has no such reader.
        """
        if match := _READER.fullmatch(name):
            head, group = int(match[3]), self.n_heads // self.n_kv_heads
            if match[4] != "q" and head < self.n_heads:
                name = f"a{match[2]}.h{head // group * group}<{match[4]}>"
        if name not in self._reader_numbers:
            raise ConfigError(f"this model has no reader {name!r}", hint=f"{self._range()}; heads read as a0.h0<q>")
        return self._reader_numbers[name]

    def edge(self, name: str) -> tuple[int, int]:
        """Reader and source of an edge.

        Raises:
            ConfigError: no such edge.
        """
        source, arrow, reader = name.partition("->")
        if not arrow:
            raise ConfigError(f"cannot read the edge {name!r}", hint="write a0.h0->a1.h0<q>, a0.h0->m1 or m0->logits")
        found = self.reader(reader), self.source(source)
        if not self.allowed[found]:
            raise ConfigError(f"there is no edge {name!r}", "its source comes after its reader")
        return found

    def _range(self) -> str:
        return f"layers run from 0 to {self.n_layers - 1}, heads from 0 to {self.n_heads - 1}"

    @cached_property
    def edges(self) -> tuple[str, ...]:
        """Every edge by name, reader by reader."""
        return tuple(f"{self.sources[s]}->{self.readers[r]}" for r, s in self.allowed.nonzero().tolist())

    def nodes_of_reader(self, reader: int) -> tuple[str, ...]:
        """The nodes that a reader belongs to: several where query heads share keys and values."""
        match = _READER.fullmatch(self.readers[reader])
        if match is None:
            return (self.readers[reader],)
        size = 1 if match[4] == "q" else self.n_heads // self.n_kv_heads
        return tuple(f"a{match[2]}.h{head}" for head in range(int(match[3]), int(match[3]) + size))

    def edge_rows(self, scores: Float[Tensor, "readers sources"]) -> list[dict[str, Any]]:
        """The table `edges` (edge, score), in the order of `edges`."""
        values = scores[self.allowed.to(scores.device)].tolist()
        return [{"edge": name, "score": score} for name, score in zip(self.edges, values, strict=True)]

    def node_rows(self, scores: Float[Tensor, " sources"]) -> list[dict[str, Any]]:
        """The table `nodes` (node, score) of the sources."""
        return [{"node": name, "score": score} for name, score in zip(self.sources, scores.tolist(), strict=True)]

    def edge_scores(self, rows: Iterable[Mapping[str, Any]]) -> Float[Tensor, "readers sources"]:
        """The matrix of a table `edges`; edges that it leaves out score 0."""
        scores = torch.zeros(len(self.readers), len(self.sources), dtype=torch.float64)
        for row in rows:
            scores[self.edge(row["edge"])] = float(row["score"])
        return scores

    def node_scores(self, rows: Iterable[Mapping[str, Any]]) -> Float[Tensor, " sources"]:
        """The vector of a table `nodes`; `logits` is left out, nodes that the table leaves out score 0."""
        scores = torch.zeros(len(self.sources), dtype=torch.float64)
        for row in rows:
            if row["node"] != "logits":
                scores[self.source(row["node"])] = float(row["score"])
        return scores

    def keep_nodes(self, nodes: Bool[Tensor, " sources"]) -> Bool[Tensor, "readers sources"]:
        """The edges among the nodes that are kept; a shared reader is kept if any of its nodes is, `logits` always."""
        kept = {name for name, flag in zip(self.sources, nodes.tolist(), strict=True) if flag} | {"logits"}
        readers = [any(node in kept for node in self.nodes_of_reader(r)) for r in range(len(self.readers))]
        return torch.tensor(readers)[:, None] & nodes[None] & self.allowed


def is_node(name: str) -> bool:
    """Whether a text is the name of a node of some model."""
    return _NODE.fullmatch(name) is not None
