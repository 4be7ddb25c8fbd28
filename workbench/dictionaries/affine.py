"""The affine map: a transcoder without features, the control beside every dictionary with a skip."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Codes, Config, Site, register

from .coder import SkipTranscoder
from .config import AffineConfig
from .gates import Gate
from .initialise import Features


@register("gate", "none")
class NoGate(Gate):
    """No feature at all: codes with no places."""

    def forward(self, x: Float[Tensor, "n d"], weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"]) -> Codes:
        return Codes(torch.empty(len(x), 0, dtype=torch.long, device=x.device), x[:, :0], 0)


@register("dictionary", "affine")
class AffineMap(SkipTranscoder):
    """y = W_skip x + b_dec, fitted by ridge regression: what can be said of the output without any feature."""

    family = "affine"
    config_class: ClassVar[type[Config]] = AffineConfig
    gate_name = "none"

    @property
    def width(self) -> int:
        return 0

    def _starting_features(self, x: Tensor, residual: Tensor, seed: int) -> Features:
        return Features(x[:0], residual[:0])

    @classmethod
    def of(cls, weight: Float[Tensor, "out d"], bias: Float[Tensor, " out"], read: Site, write: Site) -> "AffineMap":
        """The map with given weights."""
        found = cls(AffineConfig(), {read: weight.shape[1]}, {write: weight.shape[0]})
        found.load_state_dict({**found.state_dict(), "W_skip": weight, "b_dec": bias})
        return found.to(weight)
