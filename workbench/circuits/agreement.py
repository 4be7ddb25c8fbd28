"""How far predicted and measured changes agree."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

BAND_SHARES = (0.0, 0.1, 1 / 3, 2 / 3, 1.0)
"""Borders of the layer bands as shares of the depth; early layers behave unlike late ones."""


def agreement(predicted: Sequence[float], measured: Sequence[float]) -> dict[str, float]:
    """Pearson r, Spearman rho, share of equal signs, slope through the origin, and mean sizes; nan where undefined."""
    p, m = np.asarray(predicted, float), np.asarray(measured, float)
    known = np.isfinite(p) & np.isfinite(m)
    p, m = p[known], m[known]
    ranks = pd.Series(p).rank().to_numpy(), pd.Series(m).rank().to_numpy()
    empty = not len(p)
    return {
        "r": _correlation(p, m),
        "rho": _correlation(*ranks),
        "sign": float("nan") if empty else float(np.mean(p * m > 0)),
        "slope": float((p * m).sum() / (p * p).sum()) if (p * p).sum() else float("nan"),
        "size": float("nan") if empty else float(np.abs(m).mean()),
    }


def _correlation(p: np.ndarray, m: np.ndarray) -> float:
    if len(p) < 3 or not p.std() or not m.std():
        return float("nan")
    return float(np.corrcoef(p, m)[0, 1])


def bands(n_layers: int) -> list[tuple[str, range]]:
    """Named ranges of layers, from the first to the last; empty ones left out."""
    borders = [round(share * n_layers) for share in BAND_SHARES]
    ranges = [range(low, high) for low, high in pairwise(borders) if low < high]
    return [(f"{r.start}-{r.stop - 1}" if len(r) > 1 else str(r.start), r) for r in ranges]


def band_table(singles: Sequence[dict[str, Any]], n_layers: int) -> list[dict[str, Any]]:
    """One row per set and layer band (`all` first): agreement of prediction with the frozen and the free change."""
    rows = []
    for name in dict.fromkeys(row["set"] for row in singles):
        mine = [row for row in singles if row["set"] == name]
        for label, layers in [("all", range(n_layers)), *bands(n_layers)]:
            here = [row for row in mine if row["layer"] in layers]
            found: dict[str, Any] = {"set": name, "band": label, "n": len(here)}
            predicted = [row["predicted"] for row in here]
            found["size_predicted"] = agreement(predicted, predicted)["size"]
            for measure in ("frozen", "free"):
                stats = agreement(predicted, [row[measure] for row in here])
                found.update({f"{key}_{measure}": value for key, value in stats.items()})
            direct = agreement([row["predicted_direct"] for row in here], [row["frozen"] for row in here])
            rows.append({**found, "r_direct_frozen": direct["r"]})
    return rows
