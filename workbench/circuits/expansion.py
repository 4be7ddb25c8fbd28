"""Expansion: which units' rows are computed, in which order, and what of them is kept."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import Interrupted, Progress

from .analysis import Analysis
from .config import TraceConfig
from .edges import StrongestEdges
from .influence import Influence
from .sweep import Rows


@dataclass(frozen=True)
class Expansion:
    """What a trace found out: influence of every node, scores, and the edges kept as source, target and weight.

    `nodes` is True at the sources that are nodes of the graph: everything but units that were not expanded.
    """

    influence: Influence
    scores: dict[str, float]
    nodes: Bool[Tensor, " s"]
    edges: tuple[Int[Tensor, " e"], Int[Tensor, " e"], Float[Tensor, " e"]]


def without_edges(analysis: Analysis) -> Expansion:
    """Nodes only: influence stays with the targets."""
    influence = _influence(analysis)
    none = torch.zeros(0, dtype=torch.long, device=influence.value.device)
    nodes = torch.ones(analysis.numbering.n_sources, dtype=torch.bool, device=none.device)
    return Expansion(influence, {}, nodes, (none, none, influence.value[:0]))


def expand(analysis: Analysis, config: TraceConfig, progress: Progress) -> Expansion:
    """Every unit's row once, or those of the most influential units; from the targets down.

    Raises:
        Interrupted: cancelled.
    """
    limit = config.max_feature_nodes
    progress.phase("tracing", min(limit or analysis.replacement.n_units, analysis.replacement.n_units), "features")
    targets = analysis.sweep.target_rows(analysis.metric)
    nodes = torch.ones(analysis.numbering.n_sources, dtype=torch.bool, device=targets.nodes.device)
    if limit is None or limit >= analysis.replacement.n_units:
        return _hand_down(analysis, config, targets, _streamed(analysis, config, progress), nodes)
    chosen = _most_influential(analysis, config, limit, targets, progress)
    nodes[analysis.unit_nodes] = False
    for parts in chosen.values():
        for rows in parts:
            nodes[rows.nodes] = True
    ordered = (rows for layer in sorted(chosen, reverse=True) for rows in chosen.pop(layer))
    return _hand_down(analysis, config, targets, ordered, nodes)


def _streamed(analysis: Analysis, config: TraceConfig, progress: Progress) -> Iterator[Rows]:
    """Every unit's row, from the last layer to the first; none is held longer than its turn."""
    for block in analysis.sweep.blocks(config.rows_per_block):
        yield from block.by_layer(analysis.numbering)
        _advance(progress, len(block.nodes))


def _most_influential(
    analysis: Analysis, config: TraceConfig, limit: int, targets: Rows, progress: Progress
) -> dict[int, list[Rows]]:
    """Layer -> rows of the units with the most influence, ranked anew after every `expand_per_step` of them.

    The ranking is that of circuit-tracer: influence over the rows known so far.
    """
    numbering, units = analysis.numbering, analysis.unit_nodes
    found: dict[int, list[Rows]] = {}
    open_ = torch.ones(len(units), dtype=torch.bool, device=units.device)
    left = limit
    while left:
        influence = _influence(analysis)
        influence.hand_down(targets, targets.weight.abs())
        for layer in sorted(found, reverse=True):
            for rows in found[layer]:
                influence.hand_down(rows, rows.weight.abs())
        value = influence.value[units].masked_fill(~open_, -1)
        best = value.topk(min(config.expand_per_step, left)).indices
        open_[best] = False
        for block in analysis.sweep.blocks(config.rows_per_block, _by_layer(analysis, units[best])):
            for rows in block.by_layer(numbering):
                found.setdefault(int(rows.layers[0]), []).append(rows)
            _advance(progress, len(block.nodes))
        left -= len(best)
    return found


def _by_layer(analysis: Analysis, nodes: Int[Tensor, " m"]) -> dict[int, Int[Tensor, " _"]]:
    """Layer -> numbers of these units within their layer."""
    wanted = torch.zeros(analysis.numbering.n_sources, dtype=torch.bool, device=nodes.device)
    wanted[nodes] = True
    found = (torch.nonzero(wanted[sources.unit_nodes])[:, 0] for sources in analysis.numbering.layers)
    return dict(enumerate(found))


def _hand_down(
    analysis: Analysis, config: TraceConfig, targets: Rows, ordered: Iterator[Rows], nodes: Bool[Tensor, " s"]
) -> Expansion:
    """Influence, scores and edges from rows that arrive layer by layer from the top."""
    influence = _influence(analysis)
    without_start = _influence(analysis, _start_errors(analysis))
    edges = StrongestEdges(config.max_edges, nodes)
    absolute = targets.weight.abs()
    without_start.hand_down(targets, absolute)
    edges.add_all(targets, influence.hand_down(targets, absolute))
    for rows in ordered:
        absolute = rows.weight.abs()
        without_start.hand_down(rows, absolute)
        edges.add(rows, absolute, influence.hand_down(rows, absolute))
    found = edges.result()
    scores = influence.scores()
    scores.update({f"{name}_start_dropped": value for name, value in without_start.scores().items()})
    scores["edge_influence_kept"] = edges.kept / edges.total if edges.total else 1.0
    return Expansion(influence, scores, nodes, found)


def _influence(analysis: Analysis, dropped: Bool[Tensor, " s"] | None = None) -> Influence:
    if dropped is None:
        dropped = torch.zeros_like(analysis.total, dtype=torch.bool)
    return Influence(analysis.numbering, analysis.metric.weights, dropped)


def _start_errors(analysis: Analysis) -> Bool[Tensor, " s"]:
    """Error nodes at positions where units may stand in other layers but never do: the prompt's masked start."""
    masked = ~torch.stack([units.included for units in analysis.replacement.layers]).any(0)
    dropped = torch.zeros_like(analysis.total, dtype=torch.bool)
    for layer in analysis.numbering.layers:
        dropped[layer.error_nodes[masked]] = True
    return dropped


def _advance(progress: Progress, rows: int) -> None:
    progress.advance(rows)
    if progress.cancelled():
        raise Interrupted("the trace was cancelled before it had a graph")
