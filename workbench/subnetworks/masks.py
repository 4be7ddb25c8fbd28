"""Masks: a logit for every entry of a model's attention and MLP matrices, as a module that trains."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sparse_kernels import soft_masked
from workbench.models import HookedModel, Product, Run, TokenBatch

from .masked_product import MaskedProduct
from .subnetwork import Subnetwork

_LOGIT_OF_SURE = math.log(9)
"""Where a sigmoid is 0.9."""


class Decided(NamedTuple):
    """How far masks have settled: entries above 0.5, those above 0.9, and those between 0.1 and 0.9."""

    kept: int
    sure: int
    undecided: int
    total: int


class Masks(nn.Module):
    """Soft masks over the entries of a model's matrices; the model itself stays as it is.

    Logits begin at 0, where every mask is a half. They have the canonical shape of their weight and its strides, so
    that no turn costs a copy. Everything else (biases, norms, embeddings) is always there.

    Args:
        names: the matrices that are masked, by canonical name; all of attention and MLPs unless given.
        weights: a model to mask instead of the model's own weights, by canonical name, as `run(weights=)` takes them.
    """

    def __init__(
        self,
        model: HookedModel,
        names: Sequence[str] | None = None,
        *,
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.names = model, tuple(names or model.matrices())
        self.base = dict(weights or {})
        self.temperature, self.penalty = 1.0, 0.0
        params = model.params()
        self.logits = nn.ParameterDict(
            {_key(name): nn.Parameter(torch.zeros_like(params[name], dtype=torch.float32)) for name in self.names}
        )

    @property
    def total(self) -> int:
        """Entries that are masked."""
        return sum(logits.numel() for logits in self.logits.values())

    def named_logits(self) -> Iterator[tuple[str, Float[Tensor, "*s"]]]:
        """Every matrix's logits by canonical name."""
        return ((name, self.logits[_key(name)]) for name in self.names)

    def run(self, tokens: TokenBatch | Tensor) -> Run:
        """The model's answer with every mask soft; gradients flow to the logits."""
        with self.in_force():
            return self.model.run(tokens, weights=self.base or None)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Inside, the model multiplies with masked weights, each masked when it is needed and again for gradients."""
        with self.model.with_products({name: self._product(name, logits) for name, logits in self.named_logits()}):
            yield

    def _product(self, name: str, logits: Tensor) -> Product:
        turned = self.model.as_linear(name, logits)
        penalty = self.penalty / self.total

        def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return MaskedProduct.apply(x, weight, turned, bias, self.temperature, penalty)  # pyright: ignore[reportReturnType]

        return product

    def soft_weights(self) -> dict[str, Tensor]:
        """The same masked weights for `run(weights=)`, all at once; gradients do not flow."""
        params = self.model.params() | self.base
        found = dict(self.base)
        for name, logits in self.named_logits():
            found[name] = soft_masked(params[name], logits, self.temperature)
        return found

    @torch.no_grad()
    def mean(self) -> float:
        """Mean of the soft mask: what the penalty multiplies."""
        return sum(float(soft.double().sum()) for soft in self._soft()) / self.total

    @torch.no_grad()
    def decided(self) -> Decided:
        """Counts over all matrices."""
        bound = _LOGIT_OF_SURE / self.temperature
        kept = sure = below = 0
        for _, logits in self.named_logits():
            kept += int(torch.count_nonzero(logits > 0))
            sure += int(torch.count_nonzero(logits > bound))
            below += int(torch.count_nonzero(logits < -bound))
        undecided = self.total - sure - below
        return Decided(kept, sure, undecided, self.total)

    def hard(self) -> Subnetwork:
        """The entries whose logit is above 0."""
        return Subnetwork({name: logits.detach() > 0 for name, logits in self.named_logits()})

    def _soft(self) -> Iterator[Tensor]:
        return (torch.sigmoid(logits * self.temperature) for _, logits in self.named_logits())


def _key(name: str) -> str:
    """A parameter's name may hold no dot."""
    return name.replace(".", "/")
