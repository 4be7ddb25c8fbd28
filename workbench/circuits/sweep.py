"""The sweep: covectors of many targets pulled down through the local replacement model, sources read on the way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .numbering import LayerSources, Numbering
from .replacement import LayerUnits, LocalReplacement
from .target import Metric


@dataclass(frozen=True)
class Rows:
    """Rows of the adjacency: `weight[i, s]` is what source s contributes to node `nodes[i]`.

    Only sources numbered below `weight.shape[1]` can reach these nodes.
    """

    nodes: Int[Tensor, " n"]
    layers: Int[Tensor, " n"]
    weight: Float[Tensor, "n s"]


class Sweep:
    """Computes rows of the adjacency of a local replacement model, exactly.

    A target at position p has no covector beyond p, so targets are swept position by position over the prefix
    that they see, with all layers of a block together.
    """

    def __init__(self, replacement: LocalReplacement, numbering: Numbering) -> None:
        self.replacement, self.numbering = replacement, numbering
        self._skips = [_folded_skip(replacement, units) for units in replacement.layers]

    def blocks(self, rows_per_block: int) -> Iterator[Rows]:
        """The rows of every unit, in blocks of whole layers from the last to the first."""
        block: dict[int, Tensor] = {}
        for units in reversed(self.replacement.layers):
            if block and sum(map(len, block.values())) + len(units) > rows_per_block:
                yield self.unit_rows(block)
                block = {}
            block[units.layer] = torch.arange(len(units), device=units.position.device)
        yield self.unit_rows(block)

    def target_rows(self, metric: Metric) -> Rows:
        """The rows of the targets."""
        n, layers = len(metric.directions), self.replacement.frozen.n_layers
        rows = metric.directions.new_zeros(n, self.numbering.n_sources)
        v = self._final(metric.directions, metric.position)[: metric.position + 1]
        self._descend(v, metric.position, layers - 1, {}, rows)
        nodes = torch.arange(n, device=rows.device) + self.numbering.n_sources
        return Rows(nodes, torch.full_like(nodes, layers), rows)

    def unit_rows(self, chosen: Mapping[int, Int[Tensor, " m"]]) -> Rows:
        """The rows of some units: layer -> numbers of units within the layer."""
        chosen = {layer: units for layer, units in sorted(chosen.items(), reverse=True) if len(units)}
        top = max(chosen, default=0)
        total = sum(len(units) for units in chosen.values())
        rows = self.replacement.frozen.embed.new_zeros(total, self.numbering.columns_below(top))
        nodes, layers, done = [], [], 0
        for position in range(self.numbering.positions):
            here = {layer: c[self.replacement.layers[layer].position[c] == position] for layer, c in chosen.items()}
            here = {layer: units for layer, units in here.items() if len(units)}
            count = sum(len(units) for units in here.values())
            if not count:
                continue
            nothing = rows.new_zeros(position + 1, 0, self.replacement.frozen.embed.shape[1])
            self._descend(nothing, position, max(here), here, rows[done : done + count])
            for layer, units in here.items():
                nodes.append(self.numbering.layers[layer].unit_nodes[units])
                layers.append(torch.full_like(units, layer))
            done += count
        empty = torch.zeros(0, dtype=torch.long, device=rows.device)
        return Rows(torch.cat(nodes) if nodes else empty, torch.cat(layers) if layers else empty, rows)

    def total(self, metric: Metric) -> Float[Tensor, " n"]:
        """Signed total effect of every source on the metric, through held units: one pull for all."""
        effects = metric.directions.new_zeros(self.numbering.n_sources)
        v = self._final(metric.direction[None], metric.position)
        for layer in reversed(range(self.replacement.frozen.n_layers)):
            units, sources = self.replacement.layers[layer], self.numbering.layers[layer]
            self._read(v, sources, len(v) - 1, effects[None])
            v = self._step(v, layer, units)
        effects[: self.numbering.positions] += (v[:, 0] * self.replacement.frozen.embed[: len(v)]).sum(-1)
        return effects

    def direct(self, metric: Metric) -> Float[Tensor, " n"]:
        """Effect of every source on the metric with all MLP outputs held: through attention only."""
        frozen = self.replacement.frozen
        effects = metric.directions.new_zeros(self.numbering.n_sources)
        v = self._final(metric.direction[None], metric.position)
        for layer in reversed(range(frozen.n_layers)):
            self._read(v, self.numbering.layers[layer], len(v) - 1, effects[None])
            v = v + frozen.attention[layer].pull(v)
        effects[: self.numbering.positions] += (v[:, 0] * frozen.embed).sum(-1)
        return effects

    def _final(self, directions: Tensor, position: int) -> Tensor:
        return self.replacement.frozen.pull_final(directions, position).transpose(0, 1).contiguous()

    def _descend(
        self,
        v: Float[Tensor, "t n d"],
        position: int,
        top: int,
        joining: Mapping[int, Tensor],
        rows: Float[Tensor, "n s"],
    ) -> None:
        """Carry covectors [t n d] of targets at one position to the embeddings, writing `rows` on the way."""
        for layer in range(top, -1, -1):
            if v.shape[1]:
                self._read(v, self.numbering.layers[layer], position, rows[: v.shape[1]])
            v = self._step(v, layer, None, joining.get(layer))
        embed = self.replacement.frozen.embed[: len(v), :, None]
        rows[:, : len(v)] = torch.bmm(v, embed)[:, :, 0].T

    def _read(self, v: Float[Tensor, "t n d"], sources: LayerSources, position: int, rows: Tensor) -> None:
        """Dot products of the covectors with everything that a layer writes."""
        found = torch.bmm(v, sources.vectors[: len(v)].mT).transpose(0, 1).flatten(1)
        kept = sources.kept[position]
        if len(kept) < found.shape[1]:
            found = found.index_select(1, kept)
        rows[:, sources.first : sources.first + found.shape[1]] = found

    def _step(
        self, v: Float[Tensor, "t n d"], layer: int, held: LayerUnits | None = None, joining: Tensor | None = None
    ) -> Float[Tensor, "t m d"]:
        """From resid_post to resid_pre of a layer, in place: skip path, held units if asked, new targets, attention."""
        frozen = self.replacement.frozen
        attended = frozen.attention[layer].pull(v) if frozen.parallel else None
        through = self._units(v, held) if held is not None else None
        self._add_skip(v, layer)
        for more in (attended, through):
            if more is not None:
                v += more
        if joining is not None:
            v = torch.cat([v, self._readers(layer, joining, len(v) - 1)], 1)
        if not frozen.parallel:
            v += frozen.attention[layer].pull(v)
        return v

    def _add_skip(self, v: Float[Tensor, "t n d"], layer: int) -> None:
        folded = self._skips[layer]
        if folded is not None:
            matrix, gain = folded
            v.addcmul_((v.view(-1, v.shape[2]) @ matrix).view_as(v), gain[: len(v), None, None])

    def _units(self, v: Tensor, units: LayerUnits) -> Tensor:
        """Covectors through units with held gates, on to the residual stream (n = 1)."""
        value = (v[units.position, 0] * units.writers).sum(-1)
        read = torch.zeros_like(v[:, 0]).index_add(0, units.position, value[:, None] * units.readers)
        return self.replacement.frozen.mlp_norm[units.layer].pull(read[:, None])

    def _readers(self, layer: int, chosen: Tensor, position: int) -> Tensor:
        units, norm = self.replacement.layers[layer], self.replacement.frozen.mlp_norm[layer]
        readers = units.readers[chosen]
        v = readers.new_zeros(position + 1, *readers.shape)
        v[position] = readers
        return norm.pull(v)


def _folded_skip(replacement: LocalReplacement, units: LayerUnits) -> tuple[Tensor, Tensor] | None:
    """Skip matrix and MLP norm as one matrix [d_out, d] and a gain per position, zero where nothing stands."""
    if units.skip is None:
        return None
    norm = replacement.frozen.mlp_norm[units.layer]
    return norm.fold_input(units.skip.T).T.contiguous(), units.included / norm.scale
