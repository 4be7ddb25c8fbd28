"""Figures of held-out answers: balanced accuracy or R^2 with intervals over groups, AUC, calibration, confusion."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from sklearn.metrics import roc_auc_score

from workbench.evaluation import Estimate, EvaluateConfig, difference, ratio

from .crossing import Crossed, decide
from .examples import Examples
from .probe_config import ProbeConfig

Array = np.ndarray
Sums = tuple[Float[Array, " g"], Float[Array, " g"]]


def resampling(config: ProbeConfig) -> EvaluateConfig:
    """The settings of intervals as `ratio` takes them."""
    return EvaluateConfig(bootstrap=config.bootstrap, confidence=config.confidence, seed=config.seed)


def group_sums(logits: Float[Array, "n c"], examples: Examples) -> Sums:
    """Per group, numerator and denominator of the score's ratio: weight of what is right (or squared error), weight."""
    index = np.unique(examples.group, return_inverse=True)[1]
    if examples.regression:
        error = np.square(examples.targets - logits[:, 0])
        spread = np.square(examples.targets - examples.targets.mean())
        return np.bincount(index, error), np.bincount(index, spread)
    weight = examples.weights
    right = (decide(logits) == examples.targets) * weight
    return np.bincount(index, right), np.bincount(index, weight)


def estimate(sums: Sums, examples: Examples, config: EvaluateConfig) -> Estimate:
    """Balanced accuracy, or R^2, from group sums."""
    found = ratio(*sums, config)
    return Estimate(1 - found.value, 1 - found.high, 1 - found.low) if examples.regression else found


def lead(first: Sums, second: Sums, examples: Examples, config: EvaluateConfig) -> Estimate:
    """How much better the first is, resampled together."""
    return difference(second, first, config) if examples.regression else difference(first, second, config)


class Calibration(NamedTuple):
    """Expected calibration error and what it is made of."""

    error: float
    bins: list[dict[str, Any]]


def calibration(crossed: Crossed, examples: Examples, config: ProbeConfig) -> Calibration:
    """Guo et al. (2017): the gap of confidence and accuracy in equally wide bins of confidence, weighted by rows."""
    confidence, named = crossed.probabilities.max(1), crossed.probabilities.argmax(1)
    right = named == examples.targets
    place = np.minimum((confidence * config.bins).astype(int), config.bins - 1)
    bins = []
    for number in np.unique(place):
        here = place == number
        bins.append(
            {
                "from": number / config.bins,
                "to": (number + 1) / config.bins,
                "confidence": float(confidence[here].mean()),
                "accuracy": float(right[here].mean()),
                "n": int(here.sum()),
            }
        )
    error = sum(row["n"] * abs(row["confidence"] - row["accuracy"]) for row in bins) / len(examples)
    return Calibration(float(error), bins)


def auc(crossed: Crossed, examples: Examples) -> float:
    """Area under the ROC curve; for several classes the mean of each against the rest."""
    if len(examples.classes) == 2:
        return float(roc_auc_score(examples.targets, crossed.logits[:, 0]))
    return float(roc_auc_score(examples.targets, crossed.probabilities, multi_class="ovr", average="macro"))


def confusion(crossed: Crossed, examples: Examples) -> list[dict[str, Any]]:
    """How often each class was called what."""
    said = decide(crossed.logits)
    return [
        {"true": name, "predicted": other, "n": int(((examples.targets == i) & (said == j)).sum())}
        for i, name in enumerate(examples.classes)
        for j, other in enumerate(examples.classes)
    ]


def named(key: str, found: Estimate) -> dict[str, float]:
    """An estimate as columns of a table."""
    return {key: found.value, f"{key}_low": found.low, f"{key}_high": found.high}
