"""Measured interventions: a unit's write is taken out of the model's own MLP output and the metric read again."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Codes, Edit, Progress, Site
from workbench.models import HookedModel

from .analysis import Analysis
from .units import HeldPass, LayerUnits

MODES = ("direct", "total", "frozen", "free")


class HeldUnits:
    """A codec that stands for one MLP with the gates of units held and its error constant; rows are whole prompts."""

    def __init__(self, units: LayerUnits, held: HeldPass) -> None:
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


class Measurements:
    """Runs the hooked model on copies of one prompt, each copy with its own units' writes removed, in all layers.

    direct: attention patterns, norm scales and MLP outputs held. total: patterns and scales held, MLPs replaced
    by their units with gates held and errors constant. frozen: patterns and scales held, the model's real MLPs.
    free: everything runs anew.
    """

    def __init__(self, model: HookedModel, analysis: Analysis, batch: int, progress: Progress) -> None:
        self.model, self.analysis, self.batch, self.progress = model, analysis, batch, progress
        self.interrupted = False
        self._held = _held_edits(model, analysis.frozen.tokens)

    def metric(self, groups: Sequence[Int[Tensor, " m"]], mode: str) -> Float[Tensor, " n"]:
        """The metric with each group of unit nodes removed; nan where the work was cancelled before."""
        found = torch.full((len(groups),), float("nan"), dtype=torch.float64)
        edits = self._edits(mode)
        with torch.no_grad():
            for first in range(0, len(groups), self.batch):
                if self.progress.cancelled():
                    self.interrupted = True
                    break
                some = groups[first : first + self.batch]
                found[first : first + len(some)] = self._run(some, edits)
                self.progress.advance(len(some))
        return found

    def _run(self, groups: Sequence[Tensor], edits: Sequence[Edit]) -> Tensor:
        tokens = self.analysis.frozen.tokens
        removals = [Edit.add(f"mlp_out.{layer}", delta) for layer, delta in self._deltas(groups).items()]
        site = Site("final_norm")
        batch = tokens.expand(len(groups), -1)
        run = self.model.run(batch, [*edits, *removals], sites=[site], logits=False)
        dtype = self.analysis.frozen.embed.dtype
        return self.analysis.metric.value(run.activations[site].to(dtype)).double()

    def _deltas(self, groups: Sequence[Tensor]) -> dict[int, Float[Tensor, "b t d"]]:
        """What is added to mlp_out per layer and copy of the prompt."""
        deltas: dict[int, Tensor] = {}
        positions, d = self.analysis.frozen.embed.shape
        for row, group in enumerate(groups):
            for node in group.tolist():
                units, number = self.analysis.unit(node)
                for layer, writers in units.writers.items():
                    if layer not in deltas:
                        deltas[layer] = units.error.new_zeros(len(groups), positions, d)
                    deltas[layer][row, units.position[number]] -= units.activation[number] * writers[number]
        return deltas

    def _edits(self, mode: str) -> list[Edit]:
        frozen = self.analysis.frozen
        if mode == "free":
            return []
        if mode == "direct":
            return [*self._held, *(Edit.set(f"mlp_out.{layer}", out) for layer, out in enumerate(frozen.mlp_out))]
        if mode == "total":
            layers = self.analysis.replacement.layers
            held = HeldPass(layers)
            return [*self._held, *(Edit.through(HeldUnits(units, held)) for units in layers)]
        return self._held


def _held_edits(model: HookedModel, tokens: Int[Tensor, " t"]) -> list[Edit]:
    """Edits that set attention patterns and norm scales to their values in the base run."""
    kinds = ["attn_pattern", "ln1_scale", "ln2_scale"]
    kinds += ["ln1_post_scale", "ln2_post_scale"] if model.shape.sandwich else []
    sites = [Site(kind, layer) for layer in range(model.shape.n_layers) for kind in kinds]
    seen = model.capture(tokens[None], [*sites, Site("lnf_scale")])
    return [Edit.set(site, value[0]) for site, value in seen.items()]
