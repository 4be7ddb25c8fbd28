"""Core neurons of tokens and sentences: those that are strongest, and those that are strongest most often.

CoreInfer (Wang et al. 2024), definitions 1 and 2. Where the activation is no ReLU nothing is zero and the sign of an
MLP's hidden value says nothing of its weight: sizes |h| stand for the paper's positive activations.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import generator

Core = Int[Tensor, " j"]
"""Neurons of one layer, in rising order."""


def token_core(hidden: Float[Tensor, "t m"], alpha: float) -> Bool[Tensor, "t m"]:
    """The top `alpha` share of every token's non-zero activations by size, rounded up; ties count as one."""
    size = hidden.abs()
    kept = (alpha * (size > 0).sum(1).double()).ceil().long()
    ordered = size.sort(dim=1, descending=True).values
    least = ordered.gather(1, (kept - 1).clamp(min=0)[:, None])
    return (size >= least) & (size > 0)


class CoreCounter:
    """Counts how many tokens have each neuron of a layer in their core, as the tokens go by."""

    def __init__(self, neurons: int, alpha: float) -> None:
        self.alpha, self.tokens = alpha, 0
        self.counts = torch.zeros(neurons, dtype=torch.int64)
        self.sizes = torch.zeros(neurons, dtype=torch.float64)

    def add(self, hidden: Float[Tensor, "t m"]) -> None:
        """Take some more tokens."""
        self.tokens += len(hidden)
        self.counts += token_core(hidden, self.alpha).sum(0).cpu()
        self.sizes += hidden.abs().sum(0).double().cpu()

    def core(self, beta: float) -> Core:
        """The top `beta` share of the neurons by count; among equals the larger in sum, then the lower number."""
        by_size = self.sizes.sort(descending=True, stable=True).indices
        order = by_size[self.counts[by_size].sort(descending=True, stable=True).indices]
        return order[: core_size(len(self.counts), beta)].sort().values


def sentence_core(hidden: Float[Tensor, "t m"], alpha: float, beta: float) -> Core:
    """The core neurons of a whole text at one layer."""
    counter = CoreCounter(hidden.shape[1], alpha)
    counter.add(hidden)
    return counter.core(beta)


def core_size(neurons: int, beta: float) -> int:
    """How many of a layer's neurons a share is: at least one, rounded up."""
    return max(1, math.ceil(round(beta * neurons, 6)))


def random_core(neurons: int, beta: float, seed: int, layer: int) -> Core:
    """As many neurons as `beta` says, drawn by seed: the control."""
    drawn = torch.randperm(neurons, generator=generator(seed, "random core", layer))
    return drawn[: core_size(neurons, beta)].sort().values


def overlap(first: Sequence[Core], second: Sequence[Core]) -> float:
    """The share of the first core that is also in the second, mean over layers (1: the same)."""
    shares = [float(torch.isin(mine, other).double().mean()) for mine, other in zip(first, second, strict=True)]
    return sum(shares) / len(shares)
