"""Intervals over documents: rows of one document are not independent, documents nearly are."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from workbench.core import child

from .config import EvaluateConfig

Array = np.ndarray


class Estimate(NamedTuple):
    """A ratio of sums with its interval; nan where it cannot be formed."""

    value: float
    low: float
    high: float


def ratio(
    numerator: Float[Array, " documents"], denominator: Float[Array, " documents"], config: EvaluateConfig, name: str
) -> Estimate:
    """sum(numerator) / sum(denominator), with a percentile bootstrap over documents."""
    total = float(denominator.sum())
    if total <= 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    value = float(numerator.sum()) / total
    if len(numerator) < 2:
        return Estimate(value, float("nan"), float("nan"))
    draw = np.random.default_rng(child(config.seed, "bootstrap", name))
    counts = draw.multinomial(len(numerator), np.full(len(numerator), 1 / len(numerator)), size=config.bootstrap)
    below = counts @ denominator
    resampled = (counts @ numerator)[below > 0] / below[below > 0]
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Estimate(value, float(low), float(high))
