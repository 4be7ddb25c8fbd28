"""Numbers of the nodes of a full graph, and the padded tensors through which a sweep reads every source at once."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .replacement import LocalReplacement
from .units import LayerUnits


@dataclass(frozen=True)
class LayerSources:
    """The units of one layer and its error, as sources: what they write to an MLP's output, padded to [t, places, d].

    Nodes of a layer are numbered by position: its units, then its error, which is the last place and writes to this
    layer only. `kept[p]` picks, out of the places of positions 0..p flattened, those that are nodes; they are
    numbered first, first + 1, ...

    Attributes:
        vectors: layer -> what is written to its MLP's output; this layer, or a later one (cross-layer units).
    """

    first: int
    size: int
    vectors: Mapping[int, Float[Tensor, "t places d"]]
    kept: tuple[Int[Tensor, " _"], ...]
    unit_nodes: Int[Tensor, " m"]
    error_nodes: Int[Tensor, " t"]


@dataclass(frozen=True)
class Numbering:
    """Node numbers: embeddings by position, then layer by layer, then targets. Topologically sorted."""

    positions: int
    layers: tuple[LayerSources, ...]
    n_targets: int

    @property
    def n_sources(self) -> int:
        """Every node but the targets."""
        return self.layers[-1].first + self.layers[-1].size

    @property
    def n_nodes(self) -> int:
        return self.n_sources + self.n_targets

    def columns_below(self, layer: int) -> int:
        """How many nodes can reach what a layer's MLP reads: those of the layers before it."""
        return self.layers[layer].first if layer < len(self.layers) else self.n_sources

    def writing(self, layer: int) -> list[LayerSources]:
        """The layers with sources that write to an MLP's output, the layer itself last."""
        return [sources for sources in self.layers[: layer + 1] if layer in sources.vectors]

    def error_mask(self) -> Tensor:
        """True at error nodes, over the sources."""
        mask = torch.zeros(self.n_sources, dtype=torch.bool, device=self.layers[0].error_nodes.device)
        for layer in self.layers:
            mask[layer.error_nodes] = True
        return mask

    def unit_layers(self) -> Int[Tensor, " s"]:
        """The layer of every unit, -1 at sources that are none."""
        found = torch.full((self.n_sources,), -1, device=self.layers[0].unit_nodes.device)
        for layer, sources in enumerate(self.layers):
            found[sources.unit_nodes] = layer
        return found


def number_nodes(replacement: LocalReplacement, n_targets: int) -> Numbering:
    """Lay out the sources of a replacement model."""
    first, layers = len(replacement.frozen.tokens), []
    for units in replacement.layers:
        sources = _layer_sources(units, first)
        layers.append(sources)
        first += sources.size
    return Numbering(len(replacement.frozen.tokens), tuple(layers), n_targets)


def _layer_sources(units: LayerUnits, first: int) -> LayerSources:
    positions, d = units.error.shape
    counts = torch.bincount(units.position, minlength=positions)
    places = int(counts.max()) + 1
    starts = counts.cumsum(0) - counts
    place = torch.arange(len(units), device=units.position.device) - starts[units.position]
    vectors = {}
    for layer in (units.layer, *(target for target in units.writers if target != units.layer and len(units))):
        vectors[layer] = units.error.new_zeros(positions, places, d)
        if layer in units.writers:
            vectors[layer][units.position, place] = units.writes(layer)
    vectors[units.layer][:, -1] = units.error
    used = torch.arange(places, device=counts.device) < counts[:, None]
    used[:, -1] = True
    kept = tuple(torch.nonzero(used[: p + 1].flatten())[:, 0] for p in range(positions))
    errors = first + (counts + 1).cumsum(0) - 1
    unit_nodes = first + torch.arange(len(units), device=place.device) + units.position
    return LayerSources(first, len(units) + positions, vectors, kept, unit_nodes, errors)
