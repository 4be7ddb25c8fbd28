"""What validations and evaluations say, in the shape in which pictures and reports want it.

Tables read, all optional. Of a validation: `groups` (set, n, seed, predicted, frozen, free: the metric afterwards),
`single` (set, node, layer, position, predicted, frozen, free: changes). Of an evaluation: `layers` (layer, fvu,
fvu_<control>).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from workbench.core import Result

MEASURES = ("predicted", "frozen", "free")
SET_NAMES = {
    "trained": "trained features",
    "untrained": "untrained features",
    "random": "random active features",
    "directions": "same norms along the errors",
}


@dataclass(frozen=True)
class GroupPoint:
    """One size of group of one set: the metric after removal, mean and spread over seeds."""

    set: str
    n: int
    predicted: float
    frozen: float
    free: float
    sd: dict[str, float]
    seeds: int


def mean_and_spread(values: Sequence[float | None]) -> tuple[float, float]:
    """Mean and sample standard deviation (0 for a single value) of the finite values; nan for none."""
    finite = [v for v in values if v is not None and v == v]
    if not finite:
        return float("nan"), 0.0
    return fmean(finite), stdev(finite) if len(finite) > 1 else 0.0


def baseline(result: Result) -> float:
    """The metric with nothing removed; nan when the result does not say."""
    for name in ("metric_value", "baseline", "metric"):
        if name in result.scalars:
            return result.scalars[name]
    return float("nan")


def group_points(result: Result) -> list[GroupPoint]:
    """The group ablations, by set and size, seeds averaged."""
    cells: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in result.tables.get("groups", []):
        cells.setdefault((str(row["set"]), int(row["n"])), []).append(row)
    points = []
    for (name, n), rows in cells.items():
        found = {m: mean_and_spread([r.get(m) for r in rows]) for m in MEASURES}
        means, spreads = {m: f[0] for m, f in found.items()}, {m: f[1] for m, f in found.items()}
        points.append(GroupPoint(name, n, **means, sd=spreads, seeds=len(rows)))
    order = {name: place for place, name in enumerate(SET_NAMES)}
    return sorted(points, key=lambda p: (order.get(p.set, len(order)), p.set, p.n))


def singles(result: Result, name: str = "trained") -> list[dict[str, Any]]:
    """The single ablations of one set; rows without a set count as trained."""
    return [row for row in result.tables.get("single", []) if str(row.get("set", "trained")) == name]


def layer_rows(result: Result) -> list[dict[str, Any]]:
    """The rows of an evaluation that describe one layer each, in order."""
    rows = [row for row in result.tables.get("layers", []) if isinstance(row.get("layer"), int)]
    return sorted(rows, key=lambda row: row["layer"])


def correlation(pairs: Sequence[tuple[float, float]]) -> float:
    """Pearson's r; nan for fewer than three pairs or no spread."""
    if len(pairs) < 3:
        return float("nan")
    x, y = zip(*pairs, strict=True)
    one, two = [v - fmean(x) for v in x], [v - fmean(y) for v in y]
    scale = (sum(a * a for a in one) * sum(b * b for b in two)) ** 0.5
    return sum(a * b for a, b in zip(one, two, strict=True)) / scale if scale else float("nan")
