"""How alike two representations of the same rows are: CKA, CCA, RSA, and how linearly one follows from the other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from workbench.core import ShapeError

PENALTIES = np.logspace(-7, 3, 11)
"""What `linearity` chooses among."""


class Similarity(NamedTuple):
    """Measures of two sets of rows.

    Attributes:
        cka: linear, unbiased (Kornblith et al. 2019, with the estimator of Song et al. 2012); 1 for a rotated and
            scaled copy, near 0 for independent rows. cca: mean canonical correlation of the leading principal
            components. rsa: Spearman correlation of the pairs' distances (Kriegeskorte et al. 2008).
        linearity: 1 - |XA - Y|^2 with centred X and Y of norm 1 and the best A (Razzhigaev et al. 2024), on rows kept
            from the fit.
    """

    cka: float
    cca: float
    rsa: float
    linearity: float


def centred(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return rows.double() - rows.double().mean(0)


def cka(x: Float[Tensor, "n d"], y: Float[Tensor, "n e"]) -> float:
    """Linear CKA by the unbiased estimator of HSIC."""
    one, other = (_without_diagonal(rows) for rows in (x, y))
    return float(_hsic(one, other) / (_hsic(one, one) * _hsic(other, other)).clamp_min(1e-300).sqrt())


def _without_diagonal(rows: Float[Tensor, "n d"]) -> Float[Tensor, "n n"]:
    x = centred(rows)
    x = x / x.norm().clamp_min(1e-300)
    return (x @ x.T).fill_diagonal_(0)


def _hsic(one: Float[Tensor, "n n"], other: Float[Tensor, "n n"]) -> Tensor:
    n = len(one)
    sums = one.sum() * other.sum() / ((n - 1) * (n - 2)) - 2 * (one.sum(0) @ other.sum(0)) / (n - 2)
    cross = (one * other).sum() + sums
    return cross / (n * (n - 3))


def cca(x: Float[Tensor, "n d"], y: Float[Tensor, "n e"], components: int) -> float:
    """Mean canonical correlation of the leading principal components (SVCCA, Raghu et al. 2017)."""
    first, second = (torch.linalg.svd(centred(rows), full_matrices=False).U[:, :components] for rows in (x, y))
    return float(torch.linalg.svdvals(first.T @ second).clamp(0, 1).mean())


def rsa(x: Float[Tensor, "n d"], y: Float[Tensor, "n e"]) -> float:
    """Spearman's correlation of the distances of all pairs."""
    ranks = [rankdata(torch.pdist(rows.double()).numpy()) for rows in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def linearity(x: Float[Tensor, "n d"], y: Float[Tensor, "n e"]) -> float:
    """The share of Y that an affine map of X gives, learnt on even rows, measured on odd ones.

    The penalty of the map is chosen inside the even rows, so that few rows for each dimension cost little.
    """
    learn, test = (x[::2].double(), y[::2].double()), (x[1::2].double(), y[1::2].double())
    inner = len(learn[0]) * 2 // 3
    scores = _explained((learn[0][:inner], learn[1][:inner]), (learn[0][inner:], learn[1][inner:]), PENALTIES.tolist())
    return _explained(learn, test, [float(PENALTIES[int(np.argmax(scores))])])[0]


def _explained(
    learn: tuple[Float[Tensor, "n d"], Float[Tensor, "n e"]],
    test: tuple[Float[Tensor, "m d"], Float[Tensor, "m e"]],
    penalties: Sequence[float],
) -> list[float]:
    """The share of the test's Y that ridge maps of X give; penalties are in mean squares of a column of X."""
    (x, y), (test_x, test_y) = learn, test
    mean_x, mean_y = x.mean(0), y.mean(0)
    left, size, right = torch.linalg.svd(x - mean_x, full_matrices=False)
    seen, rotated = left.T @ (y - mean_y), (test_x - mean_x) @ right.T
    unit = float(size.square().sum()) / x.shape[1] + 1e-300
    whole = float((test_y - mean_y).square().sum()) + 1e-300
    found = []
    for penalty in penalties:
        shrunk = size / (size.square() + penalty * unit)
        missed = rotated @ (shrunk[:, None] * seen) - (test_y - mean_y)
        found.append(1 - float(missed.square().sum()) / whole)
    return found


def similarity(x: Float[Tensor, "n d"], y: Float[Tensor, "n e"], components: int = 20, pairs: int = 500) -> Similarity:
    """All measures; those over pairs of rows take the first `pairs` rows.

    Raises:
        ShapeError: other numbers of rows, or fewer than 8.
    """
    if len(x) != len(y) or len(x) < 8:
        raise ShapeError("two representations want the same rows, 8 or more", found=f"found {len(x)} and {len(y)}")
    few = slice(0, pairs)
    components = min(components, x.shape[1], y.shape[1], len(x) // 4)
    return Similarity(cka(x, y), cca(x, y, components), rsa(x[few], y[few]), linearity(x, y))
