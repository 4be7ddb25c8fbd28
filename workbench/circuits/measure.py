"""Measured interventions: a unit's write is taken out of the model's own MLP output and the metric read again."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Codes, Edit, Progress, Site
from workbench.models import HookedModel

from .analysis import Analysis
from .units import ConstantPass, HeldPass, LayerUnits

MODES = ("direct", "total", "frozen", "free")


class HeldUnits:
    """A codec that stands for one MLP with its units or their gates held and its error constant; rows are prompts."""

    def __init__(self, units: LayerUnits, held: HeldPass | ConstantPass) -> None:
        self.units, self._held = units, held
        self.name = f"held units of layer {units.layer}"
        self.reads, self.writes = (Site("mlp_in", units.layer),), (Site("mlp_out", units.layer),)

    def encode(self, inputs: Mapping[Site, Tensor]) -> Codes:
        """No codes: everything passes by."""
        rows = inputs[self.reads[0]]
        return Codes(torch.zeros(len(rows), 0, dtype=torch.long, device=rows.device), rows[:, :0], len(self.units))

    def decode(self, codes: Codes) -> dict[Site, Tensor]:
        return {self.writes[0]: self.units.error.new_zeros(len(codes), self.units.error.shape[1])}

    def bypass(self, inputs: Mapping[Site, Tensor]) -> dict[Site, Tensor]:
        """Affine path, held units of this and earlier layers, and error."""
        positions, d = self.units.error.shape
        mlp_in = inputs[self.reads[0]].to(self.units.error.dtype).view(-1, positions, d)
        return {self.writes[0]: (self._held(self.units.layer, mlp_in) + self.units.error).view(-1, d)}


Removal = Sequence[tuple[int, int, Float[Tensor, " d"]]]
"""What is taken out of MLP outputs: layer, position and vector of each write."""


class Measurements:
    """Runs the hooked model on copies of one prompt, each copy with its own writes removed, in all layers.

    direct: attention patterns, norm scales, units and errors held; only the affine path beside the units follows, as
    it does in an edge. total: patterns, scales, gates and errors held. frozen: patterns and scales held, the model's
    real MLPs. free: everything runs anew.
    """

    def __init__(self, model: HookedModel, analysis: Analysis, batch: int, progress: Progress) -> None:
        self.model, self.analysis, self.batch, self.progress = model, analysis, batch, progress
        self.interrupted = False
        self._held = _held_edits(model, analysis.frozen.tokens)

    def metric(self, groups: Sequence[Int[Tensor, " m"]], mode: str) -> Float[Tensor, " n"]:
        """The metric with each group of unit nodes removed; nan where the work was cancelled before."""
        return self.without([self.writes(group) for group in groups], mode)

    def without(self, removals: Sequence[Removal], mode: str) -> Float[Tensor, " n"]:
        """The metric with each of some sets of writes removed; nan where the work was cancelled before."""
        found = torch.full((len(removals),), float("nan"), dtype=torch.float64)
        site, dtype = Site("final_norm"), self.analysis.frozen.embed.dtype
        for first, seen in self._batches(removals, mode, [site]):
            values = self.analysis.metric.value(seen[site].to(dtype)).double()
            found[first : first + len(values)] = values
        return found

    def logits(self, removals: Sequence[Removal], mode: str) -> Float[Tensor, "n v"]:
        """The logits at the target's position with each of some sets of writes removed; nan where cancelled."""
        frozen, site = self.analysis.frozen, Site("final_norm")
        found = torch.full((len(removals), len(frozen.unembed_bias)), float("nan"), dtype=frozen.unembed.dtype)
        for first, seen in self._batches(removals, mode, [site]):
            final = seen[site][:, self.analysis.metric.position].to(frozen.unembed.dtype)
            found[first : first + len(final)] = (final @ frozen.unembed + frozen.unembed_bias).cpu()
        return found

    def inputs(self, removals: Sequence[Removal], nodes: Int[Tensor, " m"]) -> Float[Tensor, "n m"]:
        """Pre-activations of some units with writes removed, everything held as in an edge; nan where cancelled."""
        found = torch.full((len(removals), len(nodes)), float("nan"), dtype=torch.float64)
        places = [self.analysis.unit(node) for node in nodes.tolist()]
        layers = sorted({units.layer for units, _ in places})
        for first, seen in self._batches(removals, "direct", [Site("mlp_in", layer) for layer in layers]):
            for column, (units, number) in enumerate(places):
                mlp_in = seen[Site("mlp_in", units.layer)].to(units.readers.dtype)
                read = mlp_in[:, units.position[number]] @ units.readers[number] + units.reader_bias[number]
                found[first : first + len(read), column] = read.double()
        return found

    def writes(self, group: Int[Tensor, " m"]) -> list[tuple[int, int, Float[Tensor, " d"]]]:
        """Everything that some unit nodes write."""
        found = []
        for node in group.tolist():
            units, number = self.analysis.unit(node)
            for layer, writers in units.writers.items():
                found.append((layer, int(units.position[number]), units.activation[number] * writers[number]))
        return found

    @torch.no_grad()
    def _batches(
        self, removals: Sequence[Removal], mode: str, sites: Sequence[Site]
    ) -> Iterator[tuple[int, dict[Site, Tensor]]]:
        """Activations of some removals at a time, with the number of the first."""
        edits = self._edits(mode)
        for first in range(0, len(removals), self.batch):
            if self.progress.cancelled():
                self.interrupted = True
                break
            some = removals[first : first + self.batch]
            changes = [Edit.add(f"mlp_out.{layer}", delta) for layer, delta in self._deltas(some).items()]
            batch = self.analysis.frozen.tokens.expand(len(some), -1)
            yield first, self.model.run(batch, [*edits, *changes], sites=sites, logits=False).activations
            self.progress.advance(len(some))

    def _deltas(self, removals: Sequence[Removal]) -> dict[int, Float[Tensor, "b t d"]]:
        """What is added to mlp_out per layer and copy of the prompt."""
        deltas: dict[int, Tensor] = {}
        embed = self.analysis.frozen.embed
        for row, removal in enumerate(removals):
            for layer, position, vector in removal:
                if layer not in deltas:
                    deltas[layer] = embed.new_zeros(len(removals), *embed.shape)
                deltas[layer][row, position] -= vector
        return deltas

    def _edits(self, mode: str) -> list[Edit]:
        if mode == "free":
            return []
        if mode == "frozen":
            return self._held
        layers = self.analysis.replacement.layers
        passing = ConstantPass(layers) if mode == "direct" else HeldPass(layers)
        return [*self._held, *(Edit.through(HeldUnits(units, passing)) for units in layers)]


def _held_edits(model: HookedModel, tokens: Int[Tensor, " t"]) -> list[Edit]:
    """Edits that set attention patterns and norm scales to their values in the base run."""
    kinds = ["attn_pattern", "ln1_scale", "ln2_scale"]
    kinds += ["ln1_post_scale", "ln2_post_scale"] if model.shape.sandwich else []
    sites = [Site(kind, layer) for layer in range(model.shape.n_layers) for kind in kinds]
    seen = model.capture(tokens[None], [*sites, Site("lnf_scale")])
    return [Edit.set(site, value[0]) for site, value in seen.items()]
