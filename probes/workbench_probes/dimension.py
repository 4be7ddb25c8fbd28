"""Intrinsic dimension: how many coordinates the neighbourhoods of a cloud of points have."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import ShapeError

Array = np.ndarray


class Dimension(NamedTuple):
    """An estimate with the standard error that its own likelihood gives."""

    value: float
    error: float


def neighbour_distances(rows: Float[Tensor, "n d"], count: int, chunk: int = 512) -> Float[Array, "n k"]:
    """Distances of every row to its `count` nearest other rows, ascending; rows that are equal are one row.

    In float64: differences of nearly equal large numbers decide.
    """
    x = torch.unique(rows.double(), dim=0)
    if len(x) <= count:
        raise ShapeError(f"{count} neighbours want more than {count} different rows", found=f"found {len(x)}")
    norms = x.square().sum(1)
    found = []
    for start in range(0, len(x), chunk):
        squares = norms[start : start + chunk, None] + norms - 2 * x[start : start + chunk] @ x.T
        own = torch.arange(start, min(start + chunk, len(x)))
        squares[torch.arange(len(own)), own] = torch.inf
        near = squares.topk(count, dim=1, largest=False).indices
        exact = (x[own][:, None, :] - x[near]).norm(dim=2)  # the short form loses digits where rows are close
        found.append(exact.sort(1).values)
    return torch.cat(found).numpy()


def two_nn(distances: Float[Array, "n k"], keep: float = 0.9) -> Dimension:
    """Facco et al. (2017): from ratios mu of the second to the first neighbour's distance, which need no density.

    -log(1 - F(mu)) = dimension * log(mu); the maximum of the likelihood of the lowest `keep` share of the ratios, the
    others counted as larger (censored): the paper's fit through the origin discards them, too.
    """
    ratios = np.sort(np.log(distances[:, 1] / np.maximum(distances[:, 0], 1e-300)))
    ratios = ratios[ratios > 0]
    kept = max(1, int(keep * len(ratios)))
    total = ratios[:kept].sum() + (len(ratios) - kept) * ratios[kept - 1]
    return Dimension(float(kept / max(total, 1e-300)), float(kept**0.5 / max(total, 1e-300)))


def maximum_likelihood(distances: Float[Array, "n k"]) -> Dimension:
    """Levina and Bickel (2004) with MacKay and Ghahramani's mean of inverses, over the k nearest neighbours."""
    k = distances.shape[1]
    logs = np.log(distances[:, -1:] / np.maximum(distances[:, :-1], 1e-300)).sum(1)
    mean = max(float(logs.mean()), 1e-300)
    value = (k - 2) / mean if k > 2 else (k - 1) / mean
    return Dimension(value, value * float(logs.std() / mean / len(logs) ** 0.5))
