"""Runs of circuits: the metric of every prompt when some edges are kept and the rest is ablated."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import Progress

from .ablation import Ablation
from .component_model import ComponentModel
from .contrast import Contrast

Array = np.ndarray


class CircuitRuns:
    """One set of prompts with its ablated outputs held, so that a circuit costs one run."""

    def __init__(
        self, parts: ComponentModel, contrast: Contrast, kind: str, batch: int, progress: Progress | None = None
    ) -> None:
        parts.check_edges()
        self.parts, self.components, self._ablation = (
            parts,
            parts.components,
            Ablation(parts, contrast, kind, batch, progress),
        )
        self._batches = [(some, self._ablation.outputs(some)) for some in contrast.batches(batch)]
        self.full = self.value(self.components.allowed)
        self.empty = self.value(torch.zeros_like(self.components.allowed))

    def value(self, keep: Bool[Tensor, "readers sources"] | Float[Tensor, "readers sources"]) -> Array:
        """The metric of every prompt with these edges kept."""
        keep = keep.double()
        runs = [self.parts.run_edges(some, outputs, keep) for some, outputs in self._batches]
        return torch.cat(runs).double().cpu().numpy()

    def faithfulness(self, value: Array, weights: Array | None = None) -> Array:
        """(m(C) - m(nothing)) / (m(everything) - m(nothing)) of mean metrics; one for each row of prompt weights."""
        weights = np.full(len(value), 1 / len(value)) if weights is None else weights
        span = weights @ self.full - weights @ self.empty
        return (weights @ value - weights @ self.empty) / np.where(span == 0, np.nan, span)


def largest(
    scores: Float[Tensor, "readers sources"], allowed: Bool[Tensor, "readers sources"], count: int, absolute: bool
) -> Bool[Tensor, "readers sources"]:
    """The edges with the largest scores, signed or absolute; ties go to the earlier edge."""
    values = scores[allowed].abs() if absolute else scores[allowed]
    chosen = torch.zeros(len(values), dtype=torch.bool)
    chosen[values.argsort(descending=True, stable=True)[:count]] = True
    keep = torch.zeros_like(allowed)
    keep[allowed] = chosen
    return keep


def largest_nodes(scores: Float[Tensor, " sources"], count: int, absolute: bool) -> Bool[Tensor, " sources"]:
    """The nodes with the largest scores; `input` is always among them and not counted."""
    values = (scores.abs() if absolute else scores)[1:]
    chosen = torch.zeros(len(scores), dtype=torch.bool)
    chosen[0] = True
    chosen[1 + values.argsort(descending=True, stable=True)[:count]] = True
    return chosen
