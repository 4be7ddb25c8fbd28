"""Where training starts: the scale of the rows, the best affine map, and features taken from data."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import generator


def median_norm(rows: Float[Tensor, "n d"]) -> float:
    """The median norm of the rows that are not zero; 0 if all are. An MLP of ReLUs may be silent on most rows."""
    norms = rows.norm(dim=1)
    norms = norms[norms > 0]
    return float(norms.median()) if len(norms) else 0.0


@dataclass(frozen=True)
class Scale:
    """Units of training: (x - mean) * factor, after which the median row has norm sqrt(d).

    The median, not the mean: in some layers one row in a thousand holds 99 % of the energy.
    """

    mean: Float[Tensor, " d"]
    factor: float

    @classmethod
    def of(cls, rows: Float[Tensor, "n d"]) -> "Scale":
        """The scale of a sample of rows (leave outlier rows out before)."""
        mean = rows.double().mean(0)
        typical = median_norm((rows - mean.to(rows.dtype))[rows.any(dim=1)])
        return cls(mean.to(rows.dtype), rows.shape[1] ** 0.5 / typical if typical > 0 else 1.0)

    def apply_(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Bring rows into these units, in place."""
        return rows.sub_(self.mean).mul_(self.factor)

    def absorb_in_reader_(self, weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"]) -> Float[Tensor, " f"]:
        """Make weight x + bias read raw rows; returns what weight x alone has grown by."""
        wide = weight.double() * self.factor
        shift = wide @ self.mean.double()
        bias.copy_(bias.double() - shift)
        weight.copy_(wide)
        return shift

    def absorb_in_writer_(self, weight: Float[Tensor, "f d"], bias: Float[Tensor, " d"]) -> None:
        """Make weight^T a + bias write raw rows."""
        weight.copy_(weight.double() / self.factor)
        bias.copy_(bias.double() / self.factor + self.mean.double())


class Affine(NamedTuple):
    """y = weight x + bias."""

    weight: Float[Tensor, "out d"]
    bias: Float[Tensor, " out"]

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n out"]:
        return torch.addmm(self.bias, x, self.weight.T)


class AffineFit:
    """Ridge regression from streamed rows: products in the rows' dtype, summed in float64, one solve at the end.

    Give it rows that are roughly centred: a mean far larger than the spread would eat the products' digits.
    """

    def __init__(self, d_in: int, d_out: int) -> None:
        self.n = 0
        self._xx = torch.zeros(d_in, d_in, dtype=torch.float64)
        self._xy = torch.zeros(d_in, d_out, dtype=torch.float64)
        self._x = torch.zeros(d_in, dtype=torch.float64)
        self._y = torch.zeros(d_out, dtype=torch.float64)

    def add(self, x: Float[Tensor, "n d"], y: Float[Tensor, "n out"]) -> "AffineFit":
        """Take in some rows."""
        x, y = x.detach(), y.detach()
        self.n += x.shape[0]
        self._xx += (x.T @ x).cpu()
        self._xy += (x.T @ y).cpu()
        self._x += x.double().sum(0).cpu()
        self._y += y.double().sum(0).cpu()
        return self

    def solve(self, ridge: float, dtype: torch.dtype = torch.float32) -> Affine:
        """The map that minimises squared error plus `ridge` * (mean variance of the inputs) * |weight|^2 a row."""
        mean_x, mean_y = self._x / self.n, self._y / self.n
        covariance = self._xx / self.n - torch.outer(mean_x, mean_x)
        cross = self._xy / self.n - torch.outer(mean_x, mean_y)
        # The smallest positive ridge keeps the solve defined where inputs are collinear or few.
        penalty = max(ridge, 1e-10) * covariance.diagonal().mean().clamp_min(1e-30)
        covariance.diagonal().add_(penalty)
        weight = torch.linalg.solve(covariance, cross).T
        return Affine(weight.to(dtype).contiguous(), (mean_y - weight @ mean_x).to(dtype))


class Features(NamedTuple):
    """Starting rows of encoder and decoder."""

    encoder: Float[Tensor, "f d"]
    decoder: Float[Tensor, "f out"]


def features_from_data(
    x: Float[Tensor, "n d"], residual: Float[Tensor, "n out"], count: int, share: float, seed: int
) -> Features:
    """Each feature points at one row of data and writes `share` of that row's residual when it sees it.

    Rows are drawn in proportion to their residual's energy (as k-means++ draws centres), so that rows on which there
    is nothing to explain start no feature. They are drawn without replacement while they last; a repeated one is
    blurred so that no two features start alike.
    """
    draw = generator(seed, "features")
    order = _drawn(residual.double().square().sum(1).cpu(), count, draw)
    norm = x.norm(dim=1, keepdim=True).clamp_min(1e-12)
    directions = (x / norm)[order]
    if count > x.shape[0]:
        noise = torch.randn(count - x.shape[0], x.shape[1], generator=draw, dtype=torch.float64)
        directions[x.shape[0] :] += 0.1 * noise.to(x) / x.shape[1] ** 0.5
    return Features(directions, share * (residual / norm)[order])


def _drawn(weight: Float[Tensor, " n"], count: int, draw: torch.Generator) -> Int[Tensor, " count"]:
    """Rows in proportion to `weight`, each once before any comes twice."""
    weight = weight.clamp_min(weight.max().clamp_min(1.0) * 1e-9)
    turns = -(-count // len(weight))
    orders = [torch.multinomial(weight, min(count, len(weight)), generator=draw) for _ in range(turns)]
    return torch.cat(orders)[:count]


def random_features(d_in: int, d_out: int, count: int, seed: int, like: Tensor) -> Features:
    """Random unit directions; the decoder row is the encoder row where the sizes agree."""
    draw = generator(seed, "features")
    encoder = torch.randn(count, d_in, generator=draw, dtype=torch.float64).to(like)
    decoder = encoder if d_in == d_out else torch.randn(count, d_out, generator=draw, dtype=torch.float64).to(like)
    return Features(torch.nn.functional.normalize(encoder), torch.nn.functional.normalize(decoder))
