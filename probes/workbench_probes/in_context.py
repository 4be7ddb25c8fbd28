"""How far a trained model is from each predictor in closed form, over contexts of several lengths."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.evaluation import EvaluateConfig, ratio

from .in_context_config import InContextConfig
from .regression import Predictor, squared_difference, weight_difference

Array = np.ndarray


class Distances(NamedTuple):
    """SPD and ILWD of one reference predictor to a model, of each context and length."""

    predictor: str
    spd: Float[Array, "b l"]
    ilwd: Float[Array, "b l"]


@torch.no_grad()
def distances(
    model: Predictor,
    references: Mapping[str, Predictor],
    x: Float[Tensor, "b n d"],
    y: Float[Tensor, "b n"],
    queries: Float[Tensor, "b m d"],
    lengths: tuple[int, ...],
) -> list[Distances]:
    """Compare a model with every reference on the first pairs of each context; the model is asked once a length."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in references}
    for length in lengths:
        part = (x[:, :length].double(), y[:, :length].double(), queries.double())
        answers = model(x[:, :length], y[:, :length], queries).double()
        for name, reference in references.items():
            pair = (_Fixed(answers), _Fixed(reference(*part)))
            found[name].append((squared_difference(*pair, *part), weight_difference(*pair, *part)))
    return [
        Distances(name, *(torch.stack(values, 1).numpy() for values in zip(*rows, strict=True)))
        for name, rows in found.items()
    ]


class _Fixed:
    """A predictor whose answers are known already."""

    def __init__(self, answers: Float[Tensor, "b m"]) -> None:
        self.answers = answers

    def __call__(self, x: Tensor, y: Tensor, queries: Tensor) -> Tensor:
        return self.answers


def distance_row(found: Distances, config: InContextConfig) -> dict[str, Any]:
    """SPD and ILWD, means over the lengths, with 95 % intervals over contexts."""
    row: dict[str, Any] = {"predictor": found.predictor}
    for name, values in (("spd", found.spd), ("ilwd", found.ilwd)):
        row |= interval(name, values.mean(1), config)
    return row


def interval(name: str, values: Float[Array, " b"], config: InContextConfig) -> dict[str, float]:
    """The mean over contexts, with its bootstrap interval, as columns of a table."""
    settings = EvaluateConfig(bootstrap=config.bootstrap, seed=config.seed)
    found = ratio(values, np.ones_like(values), settings)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
