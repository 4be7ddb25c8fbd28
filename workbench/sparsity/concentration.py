"""How unevenly a row's mass lies on its coordinates: Gini, Hoyer, and how few coordinates hold a share of it.

All take the last axis, work on absolute values, and give nan for a row of zeros.
"""

from jaxtyping import Float, Int
from torch import Tensor


def gini(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
    """0 where all coordinates are equally large, 1 - 1/d where one holds everything."""
    ordered = x.abs().double().sort(-1).values
    size = x.shape[-1]
    ranks = 2 * ordered.new_tensor(range(1, size + 1)) - size - 1
    return (ordered * ranks).sum(-1) / (size * ordered.sum(-1))


def hoyer(x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
    """(sqrt(d) - |x|_1 / |x|_2) / (sqrt(d) - 1): 0 where all are equally large, 1 where one holds everything."""
    x, root = x.double(), x.shape[-1] ** 0.5
    return (root - x.abs().sum(-1) / x.norm(dim=-1)) / (root - 1)


def top_mass(x: Float[Tensor, "*n d"], count: int) -> Float[Tensor, "*n"]:
    """The share of the sum of |x| that the `count` largest coordinates hold."""
    mass = x.abs().double()
    return mass.topk(count, dim=-1).values.sum(-1) / mass.sum(-1)


def coordinates_for(x: Float[Tensor, "*n d"], share: float) -> Int[Tensor, "*n"]:
    """How few coordinates hold `share` of the sum of |x|."""
    mass = x.abs().double().sort(-1, descending=True).values.cumsum(-1)
    # Half a rounding step of slack, so that a share met exactly is met.
    return 1 + (mass < share * mass[..., -1:] * (1 - 1e-12)).sum(-1)
