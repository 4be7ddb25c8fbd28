"""How often each feature fires: dead and dense ones, and the histogram between."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import Codes

BINS = tuple(-6 + step / 2 for step in range(13))
"""Borders of the density histogram: log10 of the share of rows, half decades from 1e-6 to 1."""


class Firing:
    """Counts the rows in which each of `width` features is active.

    Args:
        units: the features that are of interest; None: all.
    """

    def __init__(self, width: int, units: Bool[Tensor, " f"] | None = None) -> None:
        self.rows, self._units = 0, units
        self._counts = torch.zeros(width, dtype=torch.long)

    def add(self, codes: Codes) -> None:
        """Take in some rows; a feature that stands twice in one row counts once."""
        rows, features = codes.row_ids().flatten().long(), codes.index.flatten().long()
        active = codes.value.flatten() != 0
        pairs = (rows[active] * codes.width + features[active]).unique()
        if codes.width:
            self._counts += torch.bincount(pairs % codes.width, minlength=codes.width).cpu()
        self.rows += len(codes)

    @property
    def counts(self) -> Int[Tensor, " f"]:
        """Rows in which each feature of interest is active."""
        return self._counts if self._units is None else self._counts[self._units]

    @property
    def density(self) -> Float[Tensor, " f"]:
        """Share of the rows in which each feature is active."""
        return self.counts.double() / max(self.rows, 1)

    @property
    def dead_share(self) -> float:
        """Share of the features that are active in no row; nan without features."""
        return float((self.counts == 0).double().mean()) if len(self.counts) else float("nan")

    def dense_share(self, above: float) -> float:
        """Share of the features that are active in more than `above` of the rows; nan without features."""
        return float((self.density > above).double().mean()) if len(self.counts) else float("nan")

    def histogram(self) -> list[dict[str, Any]]:
        """Features per bin of log10 density, the dead ones first (log10_low and log10_high None).

        What is rarer than the lowest border falls into the lowest bin.
        """
        dead = self.counts == 0
        low, high = BINS[0], BINS[-1]
        logs = self.density[~dead].log10().clamp(low, high)
        found = torch.histogram(logs, torch.tensor(BINS, dtype=torch.double)).hist.long().tolist()
        total = max(len(self.counts), 1)
        rows: list[dict[str, Any]] = [{"log10_low": None, "log10_high": None, "features": int(dead.sum())}]
        rows += [
            {"log10_low": low, "log10_high": high, "features": features}
            for low, high, features in zip(BINS, BINS[1:], found, strict=False)
        ]
        return [row | {"share": row["features"] / total} for row in rows]
