"""The Result of every method that scores nodes and edges, and how results are compared."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Config, Interrupted, Progress, Result

from .component_model import ComponentModel
from .contrast import Contrast

KIND = "component_scores"
SIGN = "score: by how much the metric falls when the component is ablated, estimated or measured; mean over prompts"


def edge_result(
    parts: ComponentModel,
    method: str,
    scores: Float[Tensor, "readers sources"],
    config: Config,
    scalars: Mapping[str, float] | None = None,
    nodes: Float[Tensor, " sources"] | None = None,
    **details: Any,
) -> Result:
    """Scores of edges; a node's score is the sum of those of the edges that leave it, unless given."""
    outgoing = torch.where(parts.components.allowed, scores.cpu(), 0).sum(0) if nodes is None else nodes
    tables = {"edges": parts.components.edge_rows(scores.cpu()), "nodes": parts.components.node_rows(outgoing)}
    notes = (SIGN, "nodes: the sum over the edges that leave them") if nodes is None else (SIGN,)
    return _result(parts, method, "edge", tables, config, scalars, notes, **details)


def node_result(
    parts: ComponentModel,
    method: str,
    scores: Float[Tensor, " sources"],
    config: Config,
    scalars: Mapping[str, float] | None = None,
    **details: Any,
) -> Result:
    """Scores of nodes."""
    tables = {"nodes": parts.components.node_rows(scores)}
    return _result(parts, method, "node", tables, config, scalars, (SIGN,), **details)


def _result(
    parts: ComponentModel,
    method: str,
    level: str,
    tables: dict[str, list[dict[str, Any]]],
    config: Config,
    scalars: Mapping[str, float] | None,
    notes: tuple[str, ...],
    pairs: str = "",
    arrays: Mapping[str, np.ndarray] | None = None,
) -> Result:
    params = {"scorer": method, "level": level, **config.model_dump(mode="json")}
    return Result(
        KIND,
        dict(scalars or {}),
        tables,
        dict(arrays or {}),
        params,
        {"model": parts.model.ref.weight_hash, **({"pairs": pairs} if pairs else {})},
        notes,
        getattr(config, "seed", None),
    )


@torch.no_grad()
def base_metrics(parts: ComponentModel, contrast: Contrast, batch: int) -> dict[str, float]:
    """The mean metric of the clean and of the corrupted prompts."""
    clean = torch.cat([parts.value(some) for some in contrast.batches(batch)])
    corrupted = torch.cat([parts.value(some, corrupted=True) for some in contrast.batches(batch)])
    return {"clean": float(clean.mean()), "corrupted": float(corrupted.mean())}


def stop_if_cancelled(progress: Progress) -> None:
    """Leave work whose half is worth nothing.

    Raises:
        Interrupted: it was cancelled.
    """
    if progress.cancelled():
        raise Interrupted("cancelled; what was finished before is kept")
