"""Completeness and minimality of a circuit (Wang et al. 2022, arXiv 2211.00593, section 4).

Completeness: whatever nodes K are removed, the circuit without K should do what the model without K does; the gap is
|m(C without K) - m(everything without K)| as a share of m(everything) - m(nothing). Minimality: a node whose removal
from the circuit changes next to nothing need not be in it.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.core import Progress, Result, Silent, child
from workbench.models import HookedModel

from .circuit_runs import CircuitRuns, largest
from .component_config import CircuitCheckConfig
from .component_model import ComponentModel
from .component_scores import stop_if_cancelled
from .contrast import Pairs, contrast_of


@torch.no_grad()
def check_circuit(
    model: HookedModel,
    pairs: Pairs,
    scores: Result,
    config: CircuitCheckConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Test the circuit of the edges with the largest |score|.

    Scalars: `faithfulness`, `incompleteness` (mean gap), `worst_gap`, `needed` (share of the tried nodes whose removal
    changes the metric by more than 1 % of its range), `edges`, `nodes`. Tables: `completeness`, `minimality`.

    Raises:
        ConfigError: a Result without edges. TextError, SiteError: see `eap`.
    """
    config, progress = config or CircuitCheckConfig(), progress or Silent()
    parts = ComponentModel(model)
    contrast = contrast_of(model, pairs)
    runs = CircuitRuns(parts, contrast, config.ablation, config.batch, progress)
    matrix = runs.components.edge_scores(scores.tables["edges"])
    allowed = runs.components.allowed
    keep = largest(matrix, allowed, int(config.fraction * int(allowed.sum()) + 1e-9), absolute=True)
    value = runs.value(keep)
    span = float(runs.full.mean() - runs.empty.mean()) or float("nan")
    nodes = [i for i in range(1, keep.shape[1]) if bool(keep[:, i].any())]
    progress.phase("testing the circuit", 2 * config.subsets + min(config.nodes, len(nodes)), "runs")
    gaps = _completeness(runs, keep, nodes, span, config, progress)
    changes = _minimality(runs, keep, nodes, matrix, value, span, config, progress)
    sizes = [abs(row["gap"]) for row in gaps]
    scalars = {
        "faithfulness": float(runs.faithfulness(value)),
        "incompleteness": float(np.mean(sizes)) if sizes else float("nan"),
        "worst_gap": max(sizes, default=float("nan")),
        "needed": float(np.mean([abs(row["change"]) > 0.01 for row in changes])) if changes else float("nan"),
        "edges": float(keep.sum()),
        "nodes": float(len(nodes)),
    }
    return Result(
        "circuit_check",
        scalars,
        {"completeness": gaps, "minimality": changes},
        params={"scorer": scores.params.get("scorer"), **config.model_dump(mode="json")},
        inputs={"model": model.ref.weight_hash, "pairs": contrast.digest, "scores": scores.id},
        notes=(
            "completeness: nodes removed from circuit and model; gap: difference of what is left, share of the range",
            "minimality: change of the metric when one node leaves the circuit, share of the range",
        ),
        seed=config.seed,
    )


def _without(keep: Tensor, nodes: list[int]) -> Tensor:
    left = keep.clone()
    left[:, nodes] = False
    return left


def _completeness(
    runs: CircuitRuns, keep: Tensor, nodes: list[int], span: float, config: CircuitCheckConfig, progress: Progress
) -> list[dict[str, Any]]:
    rows = []
    draw = np.random.default_rng(child(config.seed, "completeness"))
    size = max(1, round(config.share * len(nodes)))
    for number in range(config.subsets if nodes else 0):
        stop_if_cancelled(progress)
        removed = sorted(draw.choice(nodes, size, replace=False).tolist())
        left, model = (float(runs.value(_without(x, removed)).mean()) for x in (keep, runs.components.allowed))
        names = " ".join(runs.components.sources[i] for i in removed)
        rows.append(
            {"set": number, "nodes": len(removed), "circuit": left, "model": model, "gap": (left - model) / span}
            | {"removed": names}
        )
        progress.advance(2)
    return rows


def _minimality(
    runs: CircuitRuns,
    keep: Tensor,
    nodes: list[int],
    matrix: Tensor,
    value: np.ndarray,
    span: float,
    config: CircuitCheckConfig,
    progress: Progress,
) -> list[dict[str, Any]]:
    worth = torch.where(keep, matrix.abs(), 0).sum(0)
    rows = []
    for node in sorted(nodes, key=lambda i: float(worth[i]))[: config.nodes]:
        stop_if_cancelled(progress)
        without = runs.value(_without(keep, [node]))
        change = float(value.mean() - without.mean()) / span
        rows.append({"node": runs.components.sources[node], "score": float(worth[node]), "change": change})
        progress.advance()
    return rows
