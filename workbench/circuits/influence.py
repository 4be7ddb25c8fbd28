"""Influence of every node on the targets, and the scores that follow from it, in one top-down sweep.

Rows of |adjacency| are normalised to 1; influence = weights . (A + A^2 + ...), weights being those of the targets
(circuit-tracer; Ameisen et al. 2025). The matrix is block-triangular, so that a node's influence is final once
all targets above it have been handed down: no power series and no stored matrix.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .numbering import Numbering
from .sweep import Rows


class Influence:
    """Accumulates influence over rows that arrive from the targets down to the first layer.

    Args:
        dropped: sources left out of the normalisation altogether (errors at positions without units are
            constants of the prompt's start; both ways of counting are reported).
    """

    def __init__(self, numbering: Numbering, weights: Float[Tensor, " n"], dropped: Bool[Tensor, " s"]) -> None:
        self.numbering = numbering
        self.value = weights.new_zeros(numbering.n_nodes)
        self.value[numbering.n_sources :] = weights.abs()
        self._error = numbering.error_mask()
        self._keep = (~dropped).to(weights.dtype)
        self._clean = torch.ones_like(self.value)
        self._seen = torch.zeros_like(self.value, dtype=torch.bool)

    def hand_down(self, rows: Rows, absolute: Float[Tensor, "n s"]) -> Float[Tensor, " n"]:
        """Pass on what the rows' nodes hold; returns influence over row sum, the worth of a unit of |weight|."""
        width = absolute.shape[1]
        keep = self._keep[:width]
        sums = absolute @ torch.stack([keep, keep * self._error[:width]], 1)
        total = sums[:, 0].clamp(min=torch.finfo(sums.dtype).tiny)
        worth = torch.where(sums[:, 0] > 0, self.value[rows.nodes] / total, 0.0)
        self.value[:width] += (worth @ absolute) * keep
        self._clean[rows.nodes] = 1 - sums[:, 1] / total
        self._seen[rows.nodes] = True
        return worth

    @property
    def share(self) -> Float[Tensor, " n"]:
        """Influence as a share of the targets' own weight: what ends in tokens, errors and leaves adds up to 1."""
        return self.value / self.value[self.numbering.n_sources :].sum()

    def scores(self) -> dict[str, float]:
        """Replacement and completeness.

        replacement: token influence over token plus error influence. completeness: mean share of a node's
        normalised input that is no error, weighted by influence (plus the target's weight), over all nodes as in
        circuit-tracer; `completeness_features` leaves out nodes whose inputs were not looked at (tokens, errors, units
        that were not expanded), which count as complete in the first.
        """
        tokens = self.value[: self.numbering.positions].sum()
        errors = self.value[: self.numbering.n_sources][self._error].sum()
        inner, clean, weight = self._seen, self._clean, self.value
        return {
            "replacement": _ratio(tokens, tokens + errors),
            "completeness": _ratio((weight * clean).sum(), weight.sum()),
            "completeness_features": _ratio((weight * clean)[inner].sum(), weight[inner].sum()),
        }


def _ratio(part: Tensor, whole: Tensor) -> float:
    return float(part / whole) if float(whole) else float("nan")
