"""Intervals over documents: rows of one document are not independent, documents nearly are."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from workbench.core import child

from .config import EvaluateConfig

Array = np.ndarray


class Estimate(NamedTuple):
    """A ratio of sums with its interval; nan where it cannot be formed."""

    value: float
    low: float
    high: float


def ratio(
    numerator: Float[Array, " documents"], denominator: Float[Array, " documents"], config: EvaluateConfig
) -> Estimate:
    """sum(numerator) / sum(denominator), with a percentile bootstrap over documents.

    Every ratio over as many documents sees the same resamples, so that intervals of two dictionaries are paired.
    """
    total = float(denominator.sum())
    if total <= 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    value = float(numerator.sum()) / total
    if len(numerator) < 2:
        return Estimate(value, float("nan"), float("nan"))
    counts = resamples(len(numerator), config.bootstrap, config.seed)
    below = counts @ denominator
    resampled = (counts @ numerator)[below > 0] / below[below > 0]
    return _with_interval(value, resampled, config)


def difference(
    first: tuple[Float[Array, " documents"], Float[Array, " documents"]],
    second: tuple[Float[Array, " documents"], Float[Array, " documents"]],
    config: EvaluateConfig,
) -> Estimate:
    """One `ratio` (numerator, denominator) less another of the same documents, both resampled together."""
    sums = [(float(above.sum()), float(below.sum())) for above, below in (first, second)]
    if min(below for _, below in sums) <= 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    value = sums[0][0] / sums[0][1] - sums[1][0] / sums[1][1]
    documents = len(first[0])
    if documents < 2:
        return Estimate(value, float("nan"), float("nan"))
    counts = resamples(documents, config.bootstrap, config.seed)
    kept = ((counts @ first[1]) > 0) & ((counts @ second[1]) > 0)
    one, other = (counts[kept] @ above / (counts[kept] @ below) for above, below in (first, second))
    return _with_interval(value, one - other, config)


def correlation(
    x: Float[Array, " n"], y: Float[Array, " n"], document: Int[Array, " n"], config: EvaluateConfig
) -> Estimate:
    """Pearson's r over rows, with a percentile bootstrap over documents."""
    _, index = np.unique(document, return_inverse=True)
    x, y = x - x.mean(), y - y.mean()
    sums = np.stack([np.bincount(index, values) for values in (np.ones_like(x), x, y, x * x, y * y, x * y)], 1)
    value = float(_pearson(sums.sum(0, keepdims=True))[0])
    if len(sums) < 2:
        return Estimate(value, float("nan"), float("nan"))
    resampled = _pearson(resamples(len(sums), config.bootstrap, config.seed) @ sums)
    return _with_interval(value, resampled, config)


def _with_interval(value: float, resampled: Float[Array, " m"], config: EvaluateConfig) -> Estimate:
    """With the quantiles that leave equal tails; a resample of no value (nan) does not count."""
    tail = (1 - config.confidence) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))


def _pearson(sums: Float[Array, "m 6"]) -> Float[Array, " m"]:
    """r from the sums of 1, x, y, xx, yy and xy."""
    n, x, y, xx, yy, xy = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        return (n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y))


@lru_cache(maxsize=4)
def resamples(documents: int, count: int, seed: int) -> Float[Array, "count documents"]:
    """How often each document is drawn in each resample."""
    draw = np.random.default_rng(child(seed, "bootstrap", documents))
    return draw.multinomial(documents, np.full(documents, 1 / documents), size=count).astype(float)
