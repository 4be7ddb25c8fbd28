"""Thresholds by layer: where to cut so that a global budget of silent neurons costs the least."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import ConfigError, Progress, Silent, Site, generator
from workbench.data import PackedText
from workbench.models import HookedModel, TokenBatch

from .gates import NeuronGate, Rule, neuron_gate

Allocation = Literal["uniform", "equal-error", "greedy"]
ALLOCATIONS: tuple[Allocation, ...] = get_args(Allocation)
OWN_ALLOCATION: dict[Rule, Allocation] = {
    "top-k": "uniform",
    "teal": "greedy",
    "cett": "equal-error",
    "cats": "uniform",
    "random": "uniform",
}
"""How each rule's paper spreads a budget over the layers."""
GRID = tuple(round(0.05 * step, 2) for step in range(20))
"""Shares of silent neurons at which errors are measured."""
_BATCH = 2


@dataclass(frozen=True)
class NeuronSample:
    """Activations of some tokens at one MLP.

    Attributes:
        inputs: `mlp_post` (and `mlp_pre` of a gated MLP) -> rows [m, f].
        out: |mlp_out| [m]; resid: |resid_post| [m].
        writes: W_out [f, d].
    """

    layer: int
    inputs: dict[Site, Float[Tensor, "m f"]]
    out: Float[Tensor, " m"]
    resid: Float[Tensor, " m"]
    writes: Float[Tensor, "f d"]

    @property
    def width(self) -> int:
        return self.writes.shape[0]

    def dropped(self, gate: NeuronGate) -> Float[Tensor, " m"]:
        """The norm of what is no longer written, |sum over the silent neurons of a_i w_i|, for every token."""
        rows = self.inputs[gate.site].float()
        return (rows.masked_fill(gate.keep(self.inputs), 0) @ self.writes).norm(dim=1)

    def error(self, gate: NeuronGate) -> float:
        """CETT: what is no longer written over what the MLP writes, mean over tokens."""
        return float((self.dropped(gate) / self.out.clamp_min(1e-12)).mean())

    def damage(self, gate: NeuronGate) -> float:
        """What is no longer written over the residual stream after the block, mean over tokens (TEAL's error)."""
        return float((self.dropped(gate) / self.resid.clamp_min(1e-12)).mean())


def sample_neurons(
    model: HookedModel,
    text: PackedText,
    rows: int = 256,
    layers: Sequence[int] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[NeuronSample]:
    """A seeded sample of the tokens that count, at the MLPs of `layers` (all of them if not given)."""
    layers = range(model.shape.n_layers) if layers is None else layers
    kinds = ("mlp_post", "mlp_pre") if model.shape.gated else ("mlp_post",)
    sites = [Site(kind, layer) for layer in layers for kind in (*kinds, "mlp_out", "resid_post")]
    found: dict[Site, list[Tensor]] = {site: [] for site in sites}
    progress = progress or Silent()
    draw = generator(seed, "neuron sample")
    special = tuple(model.tokenizer.special_ids) if model.tokenizer is not None else ()
    mask = text.mask(model.policy, special)
    order = torch.randperm(len(text), generator=draw)
    # From every sequence a few tokens, so that the sample spans many documents.
    each = max(1, min(rows // 16, int(mask.sum(1).max())))
    progress.phase("sample neurons", rows, "tokens")
    left = rows
    for part in order.split(_BATCH):
        chosen = _some(mask[part], each, draw)
        if left <= 0 or progress.cancelled():
            break
        longest = int(text.lengths[part].max())
        tokens = TokenBatch(text.ids[part, :longest].long(), text.lengths[part].long())
        picked = chosen[:, :longest].nonzero()[:left].to(model.device)
        for site, x in model.capture(tokens, sites).items():
            kept = x[picked[:, 0], picked[:, 1]].float()
            found[site].append(kept if site.kind in kinds else kept.norm(dim=1))
        left -= len(picked)
        progress.advance(len(picked))
    parameters = model.params()
    return [
        NeuronSample(
            layer,
            {Site(kind, layer): torch.cat(found[Site(kind, layer)]) for kind in kinds},
            torch.cat(found[Site("mlp_out", layer)]),
            torch.cat(found[Site("resid_post", layer)]),
            parameters[f"blocks.{layer}.mlp.W_out"].float(),
        )
        for layer in layers
    ]


def _some(mask: Tensor, each: int, draw: torch.Generator) -> Tensor:
    """At most so many True places of every row, drawn."""
    ranks = torch.rand(mask.shape, generator=draw).masked_fill(~mask, 2.0).argsort(1).argsort(1)
    return mask & (ranks < each)


class Calibration:
    """What silence costs at every layer of a model, by one rule; hands out gates for any budget.

    Args:
        samples: of the layers that are gated.
    """

    def __init__(self, model: HookedModel, samples: Sequence[NeuronSample], rule: Rule, seed: int = 0) -> None:
        if not samples:
            raise ConfigError("there is no layer to calibrate")
        self.samples, self.rule = list(samples), rule
        self._own: Allocation = OWN_ALLOCATION[rule]
        self._gates = [neuron_gate(model, sample.layer, rule, 0.0, seed) for sample in samples]
        self._scores = [
            gate.score(sample.inputs).flatten().sort().values for gate, sample in zip(self._gates, samples, strict=True)
        ]
        self._errors: np.ndarray | None = None
        self._damages: np.ndarray | None = None

    def gate(self, number: int, share: float) -> NeuronGate:
        """The gate that silences this share of the neurons of the sample's `number`-th layer."""
        sample = self.samples[number]
        if self.rule == "top-k":
            amount = round((1 - share) * sample.width)
        elif self.rule == "random":
            amount = 1.0 - share
        else:
            place = round(share * self._scores[number].numel())
            amount = float(self._scores[number][place]) if place else 0.0
        return self._gates[number].at(amount)

    def gates(self, share: float, allocation: Allocation | None = None) -> list[NeuronGate]:
        """Gates of all layers that silence this share of all their neurons, spread by the rule's own allocation."""
        return [self.gate(number, own) for number, own in enumerate(self.shares(share, allocation))]

    def shares(self, share: float, allocation: Allocation | None = None) -> list[float]:
        """The share of every layer under a global one.

        Raises:
            ConfigError: the share is not between 0 and the largest of the grid.
        """
        if not 0 <= share <= GRID[-1]:
            raise ConfigError(f"a share of silent neurons lies between 0 and {GRID[-1]}, found {share}")
        allocation = allocation or self._own
        if allocation == "uniform":
            return [share] * len(self.samples)
        return self._equal_error(share) if allocation == "equal-error" else self._greedy(share)

    def at_error(self, target: float) -> list[float]:
        """The share of every layer at which CETT is `target`."""
        errors, grid = self.errors(), np.array(GRID)
        return [float(np.interp(target, np.maximum.accumulate(row), grid)) for row in errors]

    def errors(self) -> Float[np.ndarray, "layers grid"]:
        """CETT of every layer at the shares of the grid."""
        self._measure()
        assert self._errors is not None
        return self._errors

    def damages(self) -> Float[np.ndarray, "layers grid"]:
        """TEAL's error of every layer at the shares of the grid."""
        self._measure()
        assert self._damages is not None
        return self._damages

    def _measure(self) -> None:
        if self._errors is not None:
            return
        shape = (len(self.samples), len(GRID))
        self._errors, self._damages = np.zeros(shape), np.zeros(shape)
        for number, sample in enumerate(self.samples):
            for place, share in enumerate(GRID[1:], 1):
                dropped = sample.dropped(self.gate(number, share))
                self._errors[number, place] = float((dropped / sample.out.clamp_min(1e-12)).mean())
                self._damages[number, place] = float((dropped / sample.resid.clamp_min(1e-12)).mean())

    def _equal_error(self, share: float) -> list[float]:
        low, high = 0.0, float(self.errors().max())
        for _ in range(40):
            middle = (low + high) / 2
            if np.mean(self.at_error(middle)) < share:
                low = middle
            else:
                high = middle
        return self.at_error(high)

    def _greedy(self, share: float) -> list[float]:
        """Step by step the layer whose next step adds the least damage to the stream (Liu et al. 2024)."""
        damages = self.damages()
        place = np.zeros(len(self.samples), dtype=int)
        wanted = share * len(self.samples)
        step = GRID[1]
        for _ in range(int(wanted / step + 1e-9)):
            following = np.minimum(place + 1, len(GRID) - 1)
            added = damages[np.arange(len(place)), following] - damages[np.arange(len(place)), place]
            added[place == len(GRID) - 1] = np.inf
            place[int(added.argmin())] += 1
        shares = np.array(GRID)[place]
        # What is left of the budget is less than one step, and spread over all layers that have room.
        return [float(min(own + (wanted - shares.sum()) / len(shares), GRID[-1])) for own in shares]
