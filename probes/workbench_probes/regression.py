"""Predictors of in-context linear regression in closed form, and how far two predictors are apart.

After Akyürek et al. 2022 ("What learning algorithm is in-context learning?"), sections 2 and 4. A predictor takes
contexts and queries and returns its predictions; a trained transformer is one more of them.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

X = Float[Tensor, "b n d"]
Y = Float[Tensor, "b n"]
Queries = Float[Tensor, "b m d"]
Predictions = Float[Tensor, "b m"]
Predictor = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(x [b n d], y [b n], queries [b m d]) -> predictions [b m]."""


def ridge(x: X, y: Y, queries: Queries, penalty: float) -> Predictions:
    """w = (X'X + penalty I)^-1 X'y; with the noise's variance over the weights' as penalty, the Bayes predictor."""
    eye = torch.eye(x.shape[2], dtype=x.dtype)
    w = torch.linalg.solve(x.mT @ x + penalty * eye, (x.mT @ y[..., None]))
    return (queries @ w)[..., 0]


def least_squares(x: X, y: Y, queries: Queries) -> Predictions:
    """Ordinary least squares; of the solutions of fewer pairs than entries, the shortest."""
    return (queries @ (torch.linalg.pinv(x) @ y[..., None]))[..., 0]


def gradient_step(x: X, y: Y, queries: Queries, noise: float = 0.0) -> Predictions:
    """One step of gradient descent from w = 0 on the whole context: w = a X'y.

    a = 1 / (n + d + 1 + noise), which is the best one in expectation for normal x and w (from E[X'X] = n I and
    E[(X'X)^2] = n (n + d + 1) I).
    """
    n, d = x.shape[1:]
    return (queries @ (x.mT @ y[..., None] / (n + d + 1 + noise)))[..., 0]


def one_pass(x: X, y: Y, queries: Queries, noise: float = 0.0) -> Predictions:
    """Stochastic gradient descent, one step for each pair in order, each of size 1 / (d + 2 + noise)."""
    w = torch.zeros_like(x[:, :1].mT)
    for i in range(x.shape[1]):
        row = x[:, i : i + 1]
        w = w + row.mT @ (y[:, i : i + 1, None] - row @ w) / (x.shape[2] + 2 + noise)
    return (queries @ w)[..., 0]


def nearest_neighbours(x: X, y: Y, queries: Queries, k: int = 3, weighted: bool = False) -> Predictions:
    """The mean y of the k nearest x (all of fewer); weighted: by 1 / squared distance."""
    if not x.shape[1]:
        return queries.new_zeros(queries.shape[:2])
    distances = torch.cdist(queries, x).square()
    near = distances.topk(min(k, x.shape[1]), largest=False)
    found = y[:, None].expand(-1, queries.shape[1], -1).gather(2, near.indices)
    weights = 1 / near.values.clamp_min(1e-12) if weighted else torch.ones_like(near.values)
    return (found * weights).sum(2) / weights.sum(2)


def reference_predictors(noise: float = 0.0) -> dict[str, Predictor]:
    """The predictors that a model is compared with; `noise` is known to those that can use it."""
    return {
        "least squares": least_squares,
        "one gradient step": partial(gradient_step, noise=noise),
        "one pass of SGD": partial(one_pass, noise=noise),
        "3 nearest neighbours": nearest_neighbours,
        "3 nearest, weighted": partial(nearest_neighbours, weighted=True),
    }


def squared_difference(a: Predictor, b: Predictor, x: X, y: Y, queries: Queries) -> Float[Tensor, " b"]:
    """SPD of each context: the mean of (a - b)^2 over its queries, divided by d."""
    return (a(x, y, queries) - b(x, y, queries)).square().mean(1) / x.shape[2]


def implied_weights(predictor: Predictor, x: X, y: Y, queries: Queries) -> Float[Tensor, "b d"]:
    """The linear function that a predictor's answers to some queries are nearest to."""
    return (torch.linalg.pinv(queries) @ predictor(x, y, queries)[..., None])[..., 0]


def weight_difference(a: Predictor, b: Predictor, x: X, y: Y, queries: Queries) -> Float[Tensor, " b"]:
    """ILWD of each context: the squared distance of the implied weights, divided by d."""
    found = implied_weights(a, x, y, queries) - implied_weights(b, x, y, queries)
    return found.square().sum(1) / x.shape[2]
