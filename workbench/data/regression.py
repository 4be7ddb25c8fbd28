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
    """x ~ N(0, I), w ~ N(0, I) or ones, y = w . x + N(0, noise); with a representation y = w . represent(x) + noise."""
    draw = generator(seed, "regression")
    x = torch.randn(count, config.pairs, config.size, generator=draw)
    w = torch.randn(count, config.size, generator=draw)
    if config.weights == "ones":
        w = torch.ones_like(w)
    error = torch.randn(count, config.pairs, generator=draw) * config.noise**0.5
    return Contexts(x, torch.einsum("bnd,bd->bn", represent(x, config.representation), w) + error, w)


def represent(x: Float[Tensor, "b n d"], layers: int) -> Float[Tensor, "b n d"]:
    """What a fixed network makes of x: layers of a random rotation, then a leaky ReLU (slope 0.1 below zero).

    The last layer's variance is brought back to about 1 an entry; without layers it is x itself.
    """
    draw, size = generator(0, "representation"), x.shape[-1]
    for _ in range(layers):
        rotation = torch.linalg.qr(torch.randn(size, size, generator=draw)).Q.to(x)
        x = torch.nn.functional.leaky_relu(x @ rotation, 0.1) * (2 / (1 + 0.1**2)) ** 0.5
    return x
