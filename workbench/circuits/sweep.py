"""The sweep: covectors of many targets pulled down through the local replacement model, sources read on the way."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .covectors import Covectors, Scratch
from .numbering import Numbering
from .replacement import LocalReplacement
from .target import Metric
from .units import LayerUnits


@dataclass(frozen=True)
class Rows:
    """Rows of the adjacency: `weight[i, s]` is what source s contributes to node `nodes[i]`.

    Only sources numbered below `weight.shape[1]` can reach these nodes.
    """

    nodes: Int[Tensor, " n"]
    layers: Int[Tensor, " n"]
    weight: Float[Tensor, "n s"]

    def by_layer(self, numbering: Numbering) -> Iterator["Rows"]:
        """The rows of one layer at a time, from the last to the first, as narrow as that layer allows."""
        for layer in self.layers.unique().flip(0).tolist():
            one = torch.nonzero(self.layers == layer)[:, 0]
            whole = len(one) == len(self.layers)
            weight = self.weight if whole else self.weight[one]
            yield Rows(self.nodes[one], self.layers[one], weight[:, : numbering.columns_below(layer)])


class Sweep:
    """Computes rows of the adjacency of a local replacement model, exactly.

    A target at position p has no covector beyond p, so that each is swept over the prefix that it sees; targets of
    all layers go down together, each from its layer on.
    """

    def __init__(self, replacement: LocalReplacement, numbering: Numbering) -> None:
        self.replacement, self.numbering = replacement, numbering
        self._skips = [_folded_skip(replacement, units) for units in replacement.layers]
        self._scratch = Scratch(replacement.frozen.embed)

    def blocks(self, rows_per_block: int, chosen: Mapping[int, Int[Tensor, " m"]] | None = None) -> Iterator[Rows]:
        """The rows of every unit, or of those chosen in each layer, from the last layer to the first."""
        block: dict[int, Tensor] = {}
        room = rows_per_block
        for units in reversed(self.replacement.layers):
            every = torch.arange(len(units), device=units.position.device)
            rest = every if chosen is None else chosen[units.layer]
            while len(rest):
                block[units.layer], rest = rest[:room], rest[room:]
                room -= len(block[units.layer])
                if not room:
                    yield self.unit_rows(block)
                    block, room = {}, rows_per_block
        if block:
            yield self.unit_rows(block)

    def target_rows(self, metric: Metric) -> Rows:
        """The rows of the targets."""
        n, layers = len(metric.directions), self.replacement.frozen.n_layers
        rows = metric.directions.new_zeros(n, self.numbering.n_sources)
        v = self._covectors()
        v.join({metric.position: self._final(metric.directions, metric.position)})
        self._descend(v, layers - 1, {}, {metric.position: rows})
        nodes = torch.arange(n, device=rows.device) + self.numbering.n_sources
        return Rows(nodes, torch.full_like(nodes, layers), rows)

    def unit_rows(self, chosen: Mapping[int, Int[Tensor, " m"]]) -> Rows:
        """The rows of some units: layer -> numbers of units within the layer."""
        chosen = {layer: units for layer, units in sorted(chosen.items(), reverse=True) if len(units)}
        layers, positions, nodes = self._listed(chosen)
        order = torch.argsort(positions, stable=True)
        top = max(chosen, default=0)
        rows = self.replacement.frozen.embed.new_zeros(len(nodes), self.numbering.columns_below(top))
        counts = torch.bincount(positions).tolist()
        parts = dict(enumerate(rows.split(counts))) if counts else {}
        self._descend(self._covectors(), top, chosen, parts)
        return Rows(nodes[order], layers[order], rows)

    def _listed(self, chosen: Mapping[int, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Layers, positions and nodes of some units, in the order in which they join."""
        found = [torch.zeros(3, 0, dtype=torch.long, device=self.replacement.frozen.embed.device)]
        for layer, units in chosen.items():
            position = self.replacement.layers[layer].position[units]
            node = self.numbering.layers[layer].unit_nodes[units]
            found.append(torch.stack([torch.full_like(units, layer), position, node]))
        layers, positions, nodes = torch.cat(found, 1)
        return layers, positions, nodes

    def total(self, metric: Metric) -> Float[Tensor, " n"]:
        """Signed total effect of every source on the metric, through held units: one pull for all."""
        frozen = self.replacement.frozen
        effects = metric.directions.new_zeros(1, self.numbering.n_sources)
        v = self._final(metric.direction[None], metric.position)
        pending = [v.new_zeros(len(units)) for units in self.replacement.layers]
        for layer in reversed(range(frozen.n_layers)):
            self._read(v, layer, len(v) - 1, effects)
            attended = frozen.attention[layer].pull(v) if frozen.parallel else None
            v = v + self._through(v, layer, pending)
            v = v + (frozen.attention[layer].pull(v) if attended is None else attended)
        effects[0, : len(v)] = (v[:, 0] * frozen.embed[: len(v)]).sum(-1)
        return effects[0]

    def direct(self, metric: Metric) -> Float[Tensor, " n"]:
        """Effect of every source on the metric with all units held: its edges into the targets, weighted."""
        return metric.weights @ self.target_rows(metric).weight

    def _through(self, v: Float[Tensor, "t 1 d"], layer: int, pending: list[Tensor]) -> Float[Tensor, "t 1 d"]:
        """Covectors on an MLP's output that go on to the residual stream before it, through skip and held units.

        `pending` gathers, for units of earlier layers, the covector on their values.
        """
        replacement = self.replacement
        for units in replacement.writing(layer):
            seen = units.position < len(v)
            value = (v[units.position[seen], 0] * units.writers[layer][seen]).sum(-1)
            pending[units.layer][seen] += value
        units = replacement.layers[layer]
        seen = units.position < len(v)
        read = torch.zeros_like(v[:, 0])
        weight = units.slope * pending[layer][seen, None]
        read.index_add_(0, units.position[seen], weight * units.readers[seen])
        return replacement.frozen.mlp_norm[layer].pull(read[:, None]) + self.beside(v, layer)

    def beside(self, v: Float[Tensor, "t n d"], layer: int) -> Float[Tensor, "t n d"]:
        """Covectors on an MLP's output that go on through the affine path beside its units, on the stream before it."""
        folded = self._skips[layer]
        if folded is None:
            return torch.zeros_like(v)
        matrix, gain = folded
        return (v @ matrix) * gain[: len(v), None, None]

    def _covectors(self) -> Covectors:
        return Covectors(self._scratch, self.replacement.frozen.embed.shape[1])

    def _final(self, directions: Tensor, position: int) -> Float[Tensor, "t n d"]:
        """Covectors on the last residual stream, up to the target's position."""
        pulled = self.replacement.frozen.pull_final(directions, position).transpose(0, 1)
        return pulled[: position + 1].contiguous()

    def _descend(
        self, v: Covectors, top: int, joining: Mapping[int, Tensor], rows: Mapping[int, Float[Tensor, "n s"]]
    ) -> None:
        """Carry covectors to the embeddings, writing `rows` of each position on the way."""
        frozen = self.replacement.frozen
        for layer in range(top, -1, -1):
            for group in v.groups():
                self._read(group.rows, layer, group.position, rows[group.position])
            attended = v.attended(frozen.attention[layer]) if frozen.parallel else None
            folded = self._skips[layer]
            if folded is not None:
                v.add_product(*folded)
            if attended is not None:
                v.rows += attended
            if layer in joining:
                v.join(self._readers(layer, joining[layer]))
            if attended is None:
                v.add_attention(frozen.attention[layer])
        for group in v.groups():
            embed = frozen.embed[: group.position + 1, :, None]
            rows[group.position][:, : group.position + 1] = torch.bmm(group.rows, embed)[:, :, 0].T

    def _read(self, v: Float[Tensor, "t n d"], layer: int, position: int, rows: Float[Tensor, "n s"]) -> None:
        """Dot products of the covectors with everything that is written to an MLP's output; the first n of `rows`."""
        for sources in self.numbering.writing(layer):
            found = torch.bmm(v, sources.vectors[layer][: len(v)].mT).transpose(0, 1).flatten(1)
            kept = sources.kept[position]
            if len(kept) < found.shape[1]:
                found = found.index_select(1, kept)
            target = rows[: v.shape[1], sources.first : sources.first + found.shape[1]]
            if len(sources.vectors) == 1:
                target.copy_(found)
            else:
                target += found

    def _readers(self, layer: int, chosen: Int[Tensor, " m"]) -> dict[int, Float[Tensor, "t n d"]]:
        """Covectors of some units on the residual stream that their MLP reads, by position."""
        units, norm = self.replacement.layers[layer], self.replacement.frozen.mlp_norm[layer]
        found = {}
        for position in units.position[chosen].unique().tolist():
            here = chosen[units.position[chosen] == position]
            v = units.readers.new_zeros(position + 1, len(here), units.readers.shape[1])
            v[position] = units.readers[here]
            found[position] = norm.pull(v)
        return found


def _folded_skip(replacement: LocalReplacement, units: LayerUnits) -> tuple[Tensor, Tensor] | None:
    """Skip matrix and MLP norm as one matrix [d_out, d] and a gain per position, zero where nothing stands."""
    if units.skip is None:
        return None
    norm = replacement.frozen.mlp_norm[units.layer]
    return norm.fold_input(units.skip.T).T.contiguous(), units.included / norm.scale
