"""Planted features: rows made from a known dictionary, so that what was learnt can be held against the truth."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import ConfigError, generator

from .planted_config import PlantedConfig


class PlantedSample(NamedTuple):
    """Rows, and the true value of every feature in them."""

    x: Float[Tensor, "n d"]
    values: Float[Tensor, "n f"]


class PlantedFeatures:
    """x = sum over active features of amplitude * direction, plus noise.

    Roots come first, those with children before the others; children follow, parent by parent.

    Attributes:
        directions: random unit vectors [f, d].
        probability: how often each feature fires.
        parent: the feature without which a child does not fire; -1 for roots.
        group: the co-occurrence group of a root; -1 for none.

    Raises:
        ConfigError: so many active features would need a probability over 1.
    """

    def __init__(self, config: PlantedConfig) -> None:
        self.config = config
        draw = generator(config.seed, "planted features")
        self.directions = torch.nn.functional.normalize(
            torch.randn(config.features, config.d, generator=draw, dtype=torch.float64)
        ).float()
        self.parent, self.group = _parents(config), _groups(config)
        self.probability = self._probabilities(draw)
        energy = float((self.probability * torch.tensor(2 * config.spread**2).exp()).sum())
        self.noise_sd = (config.noise * energy / config.d) ** 0.5

    def _probabilities(self, draw: torch.Generator) -> Float[Tensor, " f"]:
        config = self.config
        roots = int((self.parent < 0).sum())
        weight = torch.arange(1, roots + 1, dtype=torch.float64) ** -config.exponent
        weight = weight[torch.randperm(roots, generator=draw)]
        each = weight[: config.parents] * (config.child_share / config.children)
        weight = torch.cat([weight, each.repeat_interleave(config.children)])
        probability = weight * (config.active / weight.sum())
        if float(probability.max()) > 1:
            raise ConfigError(
                f"{config.active:g} active features of {config.features} with exponent {config.exponent:g}",
                found=f"the most frequent one would fire with probability {float(probability.max()):.2f}",
                hint="lower active or exponent",
            )
        return probability.float()

    def sample(self, rows: int, seed: int) -> PlantedSample:
        """Some rows; equal seeds give equal rows."""
        draw = generator(seed, "planted rows")
        active = self._roots(rows, draw)
        if self.config.parents:
            active = torch.cat([active, self._children(active, draw)], 1)
        amplitude = (self.config.spread * torch.randn(active.shape, generator=draw)).exp_()
        values = amplitude.mul_(active)
        x = values @ self.directions
        return PlantedSample(x.add_(torch.randn(x.shape, generator=draw), alpha=self.noise_sd), values)

    def _roots(self, rows: int, draw: torch.Generator) -> Tensor:
        """Which roots fire: independently, or likelier while their group is on (marginals stay as they are)."""
        config, roots = self.config, self.parent < 0
        chance = self.probability[roots].expand(rows, -1)
        if config.groups:
            on = torch.rand(rows, config.groups, generator=draw) < config.group_share
            member = self.group[roots]
            likelier = (chance * config.group_lift).clamp_max(1.0)
            rarer = (chance - config.group_share * likelier) / (1 - config.group_share)
            in_group = on[:, member.clamp_min(0)]
            chance = torch.where(member >= 0, torch.where(in_group, likelier, rarer), chance)
        return torch.rand(rows, int(roots.sum()), generator=draw) < chance

    def _children(self, active: Tensor, draw: torch.Generator) -> Tensor:
        """At most one child of every parent that fires."""
        config = self.config
        pick = (torch.rand(len(active), config.parents, generator=draw) / config.child_share * config.children).long()
        chosen = pick[..., None] == torch.arange(config.children)
        return (chosen & active[:, : config.parents, None]).flatten(1)


def _parents(config: PlantedConfig) -> Int[Tensor, " f"]:
    roots = config.features - config.parents * config.children
    children = torch.arange(config.parents).repeat_interleave(config.children)
    return torch.cat([torch.full((roots,), -1), children])


def _groups(config: PlantedConfig) -> Int[Tensor, " f"]:
    found = torch.full((config.features,), -1)
    if config.groups:
        free = slice(config.parents, config.features - config.parents * config.children)
        found[free] = torch.arange(free.stop - free.start) % config.groups
    return found
