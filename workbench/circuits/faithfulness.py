"""Faithfulness of circuits of growing size, as the MIB circuit track measures it (Mueller et al. 2025, 2504.13151).

f(C) = (m(C) - m(nothing)) / (m(everything) - m(nothing)), where outside C every edge is ablated. CPR is the integral
of f over the shares of edges, with the edges of the largest *signed* scores (higher is better); CMD that of |1 - f|,
with the largest *absolute* scores (0 is best). Both by trapezoids over the given fractions, which start at 0.001: a
circuit that is perfect at every size has CPR 0.999.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.core import ConfigError, Progress, Result, Silent, child
from workbench.models import HookedModel

from .circuit_runs import CircuitRuns, largest, largest_nodes
from .component_config import FaithfulnessConfig
from .component_model import ComponentModel
from .component_scores import stop_if_cancelled
from .components import Components
from .contrast import Pairs, contrast_of
from .intervals import bounds, resamples

Array = np.ndarray


@torch.no_grad()
def faithfulness(
    model: HookedModel,
    pairs: Pairs,
    scores: Mapping[str, Result],
    config: FaithfulnessConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """The faithfulness curve of every scorer's circuits, CPR and CMD, beside random circuits of equal size.

    Tables: `curve` (scorer, selection, fraction, size, faithfulness, low, high: bounds over prompts), `random` (the
    mean over random circuits, and the bounds of single ones), `areas` (scorer, cpr, cpr_low, cpr_high, cmd, ...).

    Raises:
        ConfigError: a Result without scores of this level. TextError, SiteError: see `eap`.
    """
    config, progress = config or FaithfulnessConfig(), progress or Silent()
    parts = ComponentModel(model)
    contrast = contrast_of(model, pairs)
    work = _Curves(CircuitRuns(parts, contrast, config.ablation, config.batch, progress), config)
    draws = config.random_circuits
    progress.phase("running circuits", (2 * len(scores) + draws) * len(config.fractions) * len(contrast), "runs")
    curve, areas = [], []
    for name, result in scores.items():
        ranking = work.ranking(name, result)
        rows, area = work.measure(name, ranking, progress)
        curve, areas = curve + rows, [*areas, area]
    random_rows, random_area = work.random(draws, progress)
    return Result(
        "faithfulness",
        {"clean": float(work.runs.full.mean()), "ablated": float(work.runs.empty.mean())},
        {"areas": [*areas, *random_area], "curve": curve, "random": random_rows},
        params=config.model_dump(mode="json"),
        inputs={"model": model.ref.weight_hash, "pairs": contrast.digest},
        notes=(
            "faithfulness: (m(C) - m(nothing)) / (m(everything) - m(nothing)), m the mean metric",
            "cpr: area under faithfulness, edges by signed score; cmd: area of |1 - faithfulness|, by absolute score",
            "low, high: over prompts; of random circuits: over circuits",
        ),
        seed=config.seed,
    )


class _Curves:
    """Circuits of every size for one ranking after another."""

    def __init__(self, runs: CircuitRuns, config: FaithfulnessConfig) -> None:
        self.runs, self.config, self.components = runs, config, runs.components
        total = int(self.components.allowed.sum()) if config.level == "edge" else len(self.components.sources) - 1
        self.sizes = [int(fraction * total + 1e-9) for fraction in config.fractions]
        draws = config.bootstrap if len(runs.full) > 1 else 0
        self.weights = resamples(len(runs.full), draws, config.seed) if draws else None

    def ranking(self, name: str, result: Result) -> Tensor:
        """The scores of one Result as edges [readers sources] or nodes [sources]."""
        return ranking(self.components, name, result, self.config.level)

    def values(self, ranking: Tensor, absolute: bool, progress: Progress) -> Array:
        """The metric [sizes, prompts] of the circuits of every size."""
        found = []
        for size in self.sizes:
            stop_if_cancelled(progress)
            if self.config.level == "edge":
                keep = largest(ranking, self.components.allowed, size, absolute)
            else:
                keep = self.components.keep_nodes(largest_nodes(ranking, size, absolute))
            found.append(self.runs.full if bool(keep.equal(self.components.allowed)) else self.runs.value(keep))
            progress.advance(len(self.runs.full))
        return np.stack(found)

    def area(self, curve: Array, kind: str) -> Array:
        """CPR or CMD of curves [sizes, ...]."""
        heights = curve if kind == "cpr" else np.abs(1 - curve)
        return np.trapezoid(heights, np.asarray(self.config.fractions), axis=0)

    def measure(self, name: str, ranking: Tensor, progress: Progress) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Rows of the curve, and the row of areas."""
        rows: list[dict[str, Any]] = []
        areas: dict[str, Any] = {"scorer": name}
        for kind, selection in (("cpr", "signed"), ("cmd", "absolute")):
            values = self.values(ranking, kind == "cmd", progress)
            curve = np.array([self.runs.faithfulness(value) for value in values])
            spread = (
                None if self.weights is None else np.stack([self.runs.faithfulness(v, self.weights) for v in values])
            )
            for i, (fraction, size) in enumerate(zip(self.config.fractions, self.sizes, strict=True)):
                row = {"scorer": name, "selection": selection, "fraction": fraction, "size": size}
                row["faithfulness"] = float(curve[i])
                row["low"], row["high"] = self._bounds(None if spread is None else spread[i])
                rows.append(row)
            areas[kind] = float(self.area(curve, kind))
            areas[f"{kind}_low"], areas[f"{kind}_high"] = self._bounds(
                None if spread is None else self.area(spread, kind)
            )
        return rows, areas

    def _bounds(self, samples: Array | None) -> tuple[float, float]:
        if samples is None:
            return float("nan"), float("nan")
        low, high = bounds(samples, self.config.confidence)
        return float(low), float(high)

    def random(self, draws: int, progress: Progress) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Rows of the mean random curve, and its row of areas; nothing without draws."""
        if not draws:
            return [], []
        shape = self.components.allowed.shape if self.config.level == "edge" else (len(self.components.sources),)
        curves = []
        for number in range(draws):
            seed = torch.Generator().manual_seed(child(self.config.seed, "random-circuit", number))
            values = self.values(torch.rand(shape, generator=seed), False, progress)
            curves.append([self.runs.faithfulness(value) for value in values])
        curve = np.array(curves).T
        rows = []
        for i, (fraction, size) in enumerate(zip(self.config.fractions, self.sizes, strict=True)):
            low, high = self._bounds(curve[i])
            rows.append(
                {"fraction": fraction, "size": size, "faithfulness": float(curve[i].mean()), "low": low, "high": high}
            )
        area: dict[str, Any] = {"scorer": "random circuits"}
        for kind in ("cpr", "cmd"):
            each = self.area(curve, kind)
            area[kind] = float(each.mean())
            area[f"{kind}_low"], area[f"{kind}_high"] = self._bounds(each)
        return rows, [area]


def ranking(components: Components, name: str, result: Result, level: str) -> Tensor:
    """The scores of a Result as edges [readers sources] or nodes [sources].

    Raises:
        ConfigError: it has none of this level.
    """
    if f"{level}s" not in result.tables:
        raise ConfigError(
            f"{name} has no scores of {level}s", f"it has {sorted(result.tables)}", "choose another level"
        )
    rows = result.tables[f"{level}s"]
    return components.edge_scores(rows) if level == "edge" else components.node_scores(rows)
