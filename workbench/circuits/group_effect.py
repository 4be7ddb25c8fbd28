"""The group effect: one number of interventions that tells good features from bad ones, printed on every graph."""

import math

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import Progress, generator
from workbench.models import HookedModel

from .analysis import Analysis
from .measure import Measurements

SIZES = (3, 10)
RANDOM_GROUPS = 3
BATCH = 16
NAMES = ("group_effect", "group_predicted", "group_measured", "group_random", "group_diverged")


def group_effect(model: HookedModel, analysis: Analysis, progress: Progress, seed: int = 0) -> dict[str, float]:
    """How much of the metric a few features carry, as far as the graph said so and the model agrees.

    For n = 3 and 10: the n features with the largest total effect in the metric's favour are removed from the model
    (patterns and norm scales held, its own MLPs running), and so are random groups of n other active features.

        group_effect = mean over n of clip((min(predicted, measured) - random) / |metric|, 0, 1)

    with predicted the sum of the features' total effects, measured the drop of the metric, and random the mean size
    of the change by random groups. Where fewer features are active, n is their number. A measurement that diverged
    counts 0, and so does a set without features. Unlike replacement and completeness it cannot be raised by a path
    beside the features: what the graph predicts too much does not count, nor what it failed to predict.

    Scores: `group_effect`; as shares of |metric|, means over n, `group_predicted`, `group_measured` and
    `group_random`; `group_diverged`, how many n had a measurement that was no number.
    """
    sign, size = (1.0 if analysis.value >= 0 else -1.0), abs(analysis.value)
    order = analysis.unit_nodes[(sign * analysis.total[analysis.unit_nodes]).argsort(descending=True, stable=True)]
    sizes = sorted({min(n, len(order)) for n in SIZES} - {0})
    if not sizes or not size:
        return dict.fromkeys(NAMES, 0.0)
    groups: list[Int[Tensor, " m"]] = [order[:0], *(order[:n] for n in sizes)]
    for n in sizes:
        for number in range(RANDOM_GROUPS):
            others = order[n:]
            draw = torch.randperm(len(others), generator=generator(seed, "group effect", n, number))
            groups.append(others[draw[:n].to(order.device)])
    values = Measurements(model, analysis, BATCH, progress).metric(groups, "frozen")
    drops = (sign * (values[0] - values[1:]) / size).tolist()
    found: dict[str, float] = dict.fromkeys(NAMES, 0.0)
    for place, n in enumerate(sizes):
        first = len(sizes) + place * RANDOM_GROUPS
        random = sum(abs(drop) for drop in drops[first : first + RANDOM_GROUPS]) / RANDOM_GROUPS
        predicted, measured = sign * float(analysis.total[order[:n]].sum()) / size, drops[place]
        if not math.isfinite(measured + random):
            found["group_diverged"] += 1
            measured, random = 0.0, 0.0
        told = min(predicted, measured) - random
        for name, value in (("effect", min(max(told, 0.0), 1.0)), ("predicted", predicted), ("measured", measured)):
            found[f"group_{name}"] += value / len(sizes)
        found["group_random"] += random / len(sizes)
    return found
