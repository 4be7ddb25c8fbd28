"""In-context linear regression: contexts whose weights can only be told from their pairs."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import generator

from .regression_config import RegressionConfig


class Contexts(NamedTuple):
    """Contexts of pairs, and the weights they were made with."""

    x: Float[Tensor, "b n d"]
    y: Float[Tensor, "b n"]
    w: Float[Tensor, "b d"]


def draw_contexts(config: RegressionConfig, count: int, seed: int) -> Contexts:
    """x ~ N(0, I), w ~ N(0, I) or ones, y = w . x + N(0, noise)."""
    draw = generator(seed, "regression")
    x = torch.randn(count, config.pairs, config.size, generator=draw)
    w = torch.randn(count, config.size, generator=draw)
    if config.weights == "ones":
        w = torch.ones_like(w)
    error = torch.randn(count, config.pairs, generator=draw) * config.noise**0.5
    return Contexts(x, torch.einsum("bnd,bd->bn", x, w) + error, w)
