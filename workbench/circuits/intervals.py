"""Bootstrap intervals over prompts."""

from typing import Any

import numpy as np

from workbench.core import child

Array = np.ndarray


def resamples(count: int, draws: int, seed: int) -> Array:
    """Weights [draws, count] of resampled prompts; every row sums to 1."""
    draw = np.random.default_rng(child(seed, "prompts", count))
    return draw.multinomial(count, np.full(count, 1 / count), size=draws) / count


def mean_intervals(values: Array, draws: int, confidence: float, seed: int) -> tuple[Array, Array]:
    """Percentile intervals of the mean over the first axis (prompts); nan without draws or with one prompt."""
    if not draws or len(values) < 2:
        empty = np.full(values.shape[1:], np.nan)
        return empty, empty
    found = np.tensordot(resamples(len(values), draws, seed), values, 1)
    return bounds(found, confidence)


def bounds(samples: Array, confidence: float) -> tuple[Array, Array]:
    """The quantiles of samples (first axis) that leave equal tails."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], axis=0)
    return low, high


def with_interval(row: dict[str, Any], low: float, high: float) -> dict[str, Any]:
    """A table row with the bounds of its score."""
    return {**row, "low": float(low), "high": float(high)}
