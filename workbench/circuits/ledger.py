"""The error ledger: where the influence on a graph's targets ends, layer by layer."""

from typing import Any

import torch
from torch import Tensor

from workbench.core import CircuitGraph, ConfigError, Result

from .analysis import Analysis
from .expansion import Expansion

NOTES = (
    "influence: shares of the targets' influence that end there; tokens, errors and unexpanded add up to 1",
    "errors: reconstruction errors of that layer's MLP at positions where units may stand; errors_start: at the others",
    "unexpanded: units whose own inputs were not looked at, because of a bound on feature nodes",
    "through: influence of the layer's expanded units, which is handed on to earlier ones and ends there",
    "effect: signed total linear effect of the layer's errors on the metric",
)


def ledger_of(analysis: Analysis, expansion: Expansion) -> dict[str, Any]:
    """Shares of influence by where they end, with one record per layer: what a graph's manifest keeps."""
    share = expansion.influence.share[: analysis.numbering.n_sources]
    rows = []
    for units, sources in zip(analysis.replacement.layers, analysis.numbering.layers, strict=True):
        expanded = expansion.nodes[sources.unit_nodes]
        own = share[sources.unit_nodes]
        errors = share[sources.error_nodes]
        rows.append(
            {
                "layer": units.layer,
                "units": len(units),
                "expanded": int(expanded.sum()),
                "errors": _sum(errors[units.included]),
                "errors_start": _sum(errors[~units.included]),
                "unexpanded": _sum(own[~expanded]),
                "through": _sum(own[expanded]),
                "effect": _sum(analysis.total[sources.error_nodes]),
            }
        )
    return {"tokens": _sum(share[: analysis.numbering.positions]), "layers": rows}


def error_ledger(graph: CircuitGraph) -> Result:
    """How much influence leaves a traced graph through reconstruction errors, layer by layer (kind `error_ledger`).

    It was taken when the graph was traced, and holds for the whole graph also where this one is pruned.

    Raises:
        ConfigError: a graph without influence, or not traced here.
    """
    kept = graph.manifest.details.get("ledger")
    if not kept:
        raise ConfigError("this graph has no error ledger", hint="trace it here, with influence")
    rows = kept["layers"]
    columns = ("errors", "errors_start", "unexpanded")
    scalars = {"tokens": kept["tokens"], **{name: sum(row[name] for row in rows) for name in columns}}
    inputs = {"graph": graph.manifest.content_hash}
    return Result("error_ledger", scalars=scalars, tables={"layers": rows}, inputs=inputs, notes=NOTES)


def _sum(values: Tensor) -> float:
    return float(values.sum(dtype=torch.float64))
