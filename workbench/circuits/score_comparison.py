"""How well scores find what matters: rank correlation with exact effects, and AUROC."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.core import Result, child

from .agreement import agreement
from .intervals import bounds

Array = np.ndarray


def auroc(scores: Sequence[float] | Array, positive: Sequence[bool] | Array) -> float:
    """The chance that a positive scores above a negative, ties half; nan where one side is empty."""
    values, labels = np.asarray(scores, float), np.asarray(positive, bool)
    many, few = int((~labels).sum()), int(labels.sum())
    if not many or not few:
        return float("nan")
    ranks = pd.Series(values).rank().to_numpy()
    return float((ranks[labels].sum() - few * (few + 1) / 2) / (few * many))


def truth_auroc(result: Result, truth: Collection[str], table: str = "edges", absolute: bool = True) -> float:
    """AUROC of a Result's edges or nodes against a set of names that are the circuit."""
    rows = result.tables[table]
    scores = np.array([float(row["score"]) for row in rows])
    return auroc(np.abs(scores) if absolute else scores, [row[table[:-1]] in truth for row in rows])


def heads_of(names: Sequence[str]) -> Array:
    """True at attention heads."""
    return np.array([name.startswith("a") for name in names])


def compare_scores(
    exact: Result,
    scorers: Mapping[str, Result],
    *,
    heads_only: bool = True,
    top: float = 0.1,
    bootstrap: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Every scorer against the exact effects of nodes (a Result of `patch`).

    Columns: `rho` (Spearman of signed scores and effects), `rho_absolute`, `auroc` (the top share by |effect| found by
    |score|), each with bounds from resampling the nodes. Scorers without signs (distances) compare fairly in
    `rho_absolute` and `auroc` only.
    """
    names = [row["node"] for row in exact.tables["nodes"]]
    chosen = heads_of(names) if heads_only else np.ones(len(names), bool)
    effects = exact.arrays["effects"].mean(0)[chosen]
    positive = _top(effects, top)
    draws = np.random.default_rng(child(seed, "nodes")).integers(0, len(effects), (bootstrap, len(effects)))
    rows = []
    for name, result in scorers.items():
        known = {row["node"]: float(row["score"]) for row in result.tables["nodes"]}
        scores = np.array([known.get(node, 0.0) for node in names])[chosen]
        row: dict[str, Any] = {"scorer": name}
        sampled = [_agree(scores[draw], effects[draw], positive[draw]) for draw in draws]
        for key, value in _agree(scores, effects, positive).items():
            row[key] = value
            row[f"{key}_low"], row[f"{key}_high"] = _bounds([each[key] for each in sampled], confidence)
        rows.append(row)
    return rows


def _bounds(samples: Sequence[float], confidence: float) -> tuple[float, float]:
    """Bounds of the samples that are numbers: a draw without a positive has no AUROC."""
    known = np.array([sample for sample in samples if np.isfinite(sample)])
    if not len(known):
        return float("nan"), float("nan")
    low, high = bounds(known, confidence)
    return float(low), float(high)


def _top(effects: Array, share: float) -> Array:
    """True at the largest |effects|."""
    positive = np.zeros(len(effects), bool)
    positive[np.argsort(-np.abs(effects), kind="stable")[: max(1, round(share * len(effects)))]] = True
    return positive


def _agree(scores: Array, effects: Array, positive: Array) -> dict[str, float]:
    return {
        "rho": agreement(scores.tolist(), effects.tolist())["rho"],
        "rho_absolute": agreement(np.abs(scores).tolist(), np.abs(effects).tolist())["rho"],
        "auroc": auroc(np.abs(scores), positive),
    }
