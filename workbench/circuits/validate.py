"""Validate: what a graph predicts of removing features, against what the model does."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import CircuitGraph, Progress, Result, Silent, generator
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel

from .agreement import band_table
from .analysis import Analysis, analyse
from .config import ValidateConfig
from .measure import Measurements
from .sums import pulled_rows, target_of

NOTES = (
    "removing a feature subtracts its write (activation x decoder row) from the MLP output at its layer and position",
    "the write is that of the base run, also where an earlier removal of the same group has already changed it",
    "predicted = minus the summed total linear effects; single rows hold changes, group rows the metric afterwards",
    "direct: patterns, norm scales, units and errors held, as in an edge; total: gates held instead of units",
    "direct and total must agree exactly, and so must every edge between the nodes that are checked (edge_ratio)",
    "frozen: patterns and norm scales held, real MLPs; free: everything runs anew; both are empirical",
    "a measurement that is no number diverged: under held norm scales gated MLPs can grow without bound; it failed",
    "ratio = |measured - predicted| / max(|predicted|, 1 % of the summed |effects|); relative = over |predicted|",
    "directions: instead of a feature's write, the same norm is taken out along the error of its layer and position",
    "untrained: features before training on the same affine path, traced alike; random: active features drawn by seed",
    "the correlation of single removals is as high for untrained features: read the groups first",
)


@dataclass
class _Tables:
    single: list[dict[str, Any]] = field(default_factory=list)
    exact: list[dict[str, Any]] = field(default_factory=list)
    directions: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)


def validate(
    model: HookedModel,
    dictionaries: DictionarySet,
    graph: CircuitGraph,
    config: ValidateConfig | None = None,
    untrained: DictionarySet | None = None,
    progress: Progress | None = None,
) -> Result:
    """Remove features of a graph's prompt, singly and in groups, beside controls (kind `validation`).

    Tables: `single` (changes of the metric), `exact` (direct and total against theory, and every edge among the nodes
    checked), `directions` (as much taken out along the error), `groups` (metric after removal), `bands` (agreement by
    set and layer band). Nothing measured is left out, failures included.

    Args:
        untrained: a set of features that were never trained, on the same affine path: the control.
    """
    config, progress = config or ValidateConfig(), progress or Silent()
    tables = _Tables()
    trained = analyse(model, dictionaries, torch.tensor(graph.token_ids), target_of(graph))
    runs = Measurements(model, trained, config.batch, progress)
    ranked = _by_effect(trained)
    shuffled = _shuffled(trained, config.seed, "singles")
    progress.phase("measuring single features", None, "runs")
    checked = torch.cat([ranked[: config.exact], _drawn(ranked[config.exact :], config)])
    tables.exact = _exact(trained, runs, checked)
    tables.single += _singles("trained", trained, runs, ranked[: config.singles])
    tables.single += _singles("random", trained, runs, shuffled[: config.singles])
    tables.directions = _directions(trained, runs, ranked[: config.singles])
    progress.phase("measuring groups", None, "runs")
    tables.groups += _groups("trained", trained, runs, _top_groups(trained, config.sizes))
    tables.groups += _groups("random", trained, runs, _random_groups(trained, config))
    interrupted = runs.interrupted
    if untrained is not None:
        control = analyse(model, untrained, trained.frozen, target_of(graph))
        control_runs = Measurements(model, control, config.batch, progress)
        progress.phase("measuring untrained features", None, "runs")
        tables.single += _singles("untrained", control, control_runs, _by_effect(control)[: config.singles])
        tables.groups += _groups("untrained", control, control_runs, _top_groups(control, config.sizes))
        interrupted |= control_runs.interrupted
    return _result(trained, tables, graph, dictionaries, untrained, config, interrupted)


def _by_effect(analysis: Analysis) -> Int[Tensor, " m"]:
    nodes = analysis.unit_nodes
    return nodes[analysis.total[nodes].abs().argsort(descending=True, stable=True)]


def _shuffled(analysis: Analysis, seed: int, *name: str | int) -> Int[Tensor, " m"]:
    nodes = analysis.unit_nodes
    return nodes[torch.randperm(len(nodes), generator=generator(seed, "validate", *name))]


def _top_groups(analysis: Analysis, sizes: tuple[int, ...]) -> list[tuple[int, Int[Tensor, " n"]]]:
    """The features that support the metric most, by signed total effect; sizes beyond what is active left out."""
    nodes = analysis.unit_nodes
    support = analysis.total[nodes] * (1 if analysis.value >= 0 else -1)
    order = nodes[support.argsort(descending=True, stable=True)]
    return [(0, order[:size]) for size in sizes if size <= len(order)]


def _random_groups(analysis: Analysis, config: ValidateConfig) -> list[tuple[int, Int[Tensor, " n"]]]:
    groups = []
    for size in config.sizes:
        if size <= len(analysis.unit_nodes):
            groups += [
                (seed, _shuffled(analysis, config.seed, "group", size, seed)[:size])
                for seed in range(config.random_groups)
            ]
    return groups


def _changes(runs: Measurements, nodes: Int[Tensor, " m"], mode: str) -> list[float]:
    """The change of the metric when each node is removed alone; the first run removes nothing."""
    values = runs.metric([nodes[:0], *nodes[:, None]], mode)
    return (values[1:] - values[0]).tolist()


def _describe(name: str, analysis: Analysis, node: int) -> dict[str, Any]:
    units, number = analysis.unit(node)
    layer, position, index = units.layer, int(units.position[number]), int(units.index[number])
    return {
        "set": name,
        "node": f"feature:{layer}:{index}:{position}",
        "layer": layer,
        "position": position,
        "index": index,
        "activation": float(units.activation[number]),
    }


def _singles(name: str, analysis: Analysis, runs: Measurements, nodes: Int[Tensor, " m"]) -> list[dict[str, Any]]:
    if not len(nodes):
        return []
    direct = analysis.sweep.direct(analysis.metric)
    frozen, free = _changes(runs, nodes, "frozen"), _changes(runs, nodes, "free")
    return [
        {
            **_describe(name, analysis, node),
            "predicted": -float(analysis.total[node]),
            "predicted_direct": -float(direct[node]),
            "frozen": frozen[row],
            "free": free[row],
        }
        for row, node in enumerate(nodes.tolist())
    ]


def _drawn(nodes: Int[Tensor, " m"], config: ValidateConfig) -> Int[Tensor, " n"]:
    draw = torch.randperm(len(nodes), generator=generator(config.seed, "validate", "exact"))
    return nodes[draw[: config.exact_drawn].to(nodes.device)]


def _exact(analysis: Analysis, runs: Measurements, nodes: Int[Tensor, " m"]) -> list[dict[str, Any]]:
    """Direct and total removals, for which theory and measurement must agree."""
    if not len(nodes):
        return []
    effects = {"direct": analysis.sweep.direct(analysis.metric), "total": analysis.total}
    rows: list[dict[str, Any]] = []
    for mode, effect in effects.items():
        summed = float(effect.abs().sum())
        for node, measured in zip(nodes.tolist(), _changes(runs, nodes, mode), strict=True):
            predicted = -float(effect[node])
            scale = max(abs(predicted), 0.01 * summed)
            found = {"mode": mode, "predicted": predicted, "measured": measured, "difference": measured - predicted}
            ratio = abs(measured - predicted) / scale if scale else 0.0
            relative = abs(measured - predicted) / abs(predicted) if predicted else 0.0
            rows.append({**_describe("trained", analysis, node), **found, "ratio": ratio, "relative": relative})
    for row, ratio in zip(rows, _edges(analysis, runs, nodes), strict=False):
        row["edge_ratio"] = ratio
    return rows


def _edges(analysis: Analysis, runs: Measurements, nodes: Int[Tensor, " m"]) -> list[float]:
    """For every node, the largest ratio over its edges to the other nodes: |difference| as in `ratio`."""
    measured = runs.inputs([[], *(runs.writes(node[None]) for node in nodes)], nodes)
    change = (measured[1:] - measured[0]).to(analysis.total.device)
    rows = pulled_rows(analysis, nodes).double()
    width = rows.shape[1]
    weight = torch.zeros_like(change)
    weight[nodes < width] = rows[:, nodes[nodes < width]].T
    scale = weight.abs().maximum(0.01 * rows.abs().sum(1))
    ratio = (change + weight).abs() / scale.clamp(min=1e-300)
    return ratio.amax(1).tolist()


def _directions(analysis: Analysis, runs: Measurements, nodes: Int[Tensor, " m"]) -> list[dict[str, Any]]:
    """Each feature's norm taken out along the error of its layer and position: the direction's control."""
    if not len(nodes):
        return []
    removals, predicted = [[]], []
    for node in nodes.tolist():
        units, number = analysis.unit(node)
        position, total, removal = int(units.position[number]), 0.0, []
        for layer in units.writers:
            error = analysis.replacement.layers[layer].error[position]
            share = units.writes(layer)[number].norm() / error.norm().clamp(min=1e-30)
            removal.append((layer, position, share * error))
            total += float(share * analysis.total[analysis.numbering.layers[layer].error_nodes[position]])
        removals.append(removal)
        predicted.append(-total)
    changes = {mode: runs.without(removals, mode) for mode in ("frozen", "free")}
    return [
        {
            **_describe("directions", analysis, node),
            "predicted": predicted[row],
            **{mode: float(values[row + 1] - values[0]) for mode, values in changes.items()},
        }
        for row, node in enumerate(nodes.tolist())
    ]


def _groups(
    name: str, analysis: Analysis, runs: Measurements, groups: list[tuple[int, Int[Tensor, " n"]]]
) -> list[dict[str, Any]]:
    if not groups:
        return []
    members = [members for _, members in groups]
    frozen, free = runs.metric(members, "frozen").tolist(), runs.metric(members, "free").tolist()
    return [
        {
            "set": name,
            "n": len(nodes),
            "seed": seed,
            "predicted": analysis.value - float(analysis.total[nodes].sum()),
            "frozen": frozen[row],
            "free": free[row],
        }
        for row, (seed, nodes) in enumerate(groups)
    ]


def _result(
    trained: Analysis,
    tables: _Tables,
    graph: CircuitGraph,
    dictionaries: DictionarySet,
    untrained: DictionarySet | None,
    config: ValidateConfig,
    interrupted: bool,
) -> Result:
    inputs = {"graph": graph.manifest.content_hash}
    for given in (dictionaries, untrained):
        if given is not None and given.manifest is not None:
            inputs[given.name] = given.manifest.content_hash
    return Result(
        kind="validation",
        scalars=_scalars(trained, tables),
        tables={
            "groups": tables.groups,
            "single": tables.single,
            "bands": band_table(tables.single, trained.frozen.n_layers),
            "exact": tables.exact,
            "directions": tables.directions,
        },
        params={**config.model_dump(mode="json"), "metric": graph.metric, "prompt": graph.prompt},
        inputs=inputs,
        notes=NOTES,
        seed=config.seed,
        partial=interrupted,
    )


def _scalars(trained: Analysis, tables: _Tables) -> dict[str, float]:
    """The headline numbers: group changes by set, worst exact ratio, overall correlation."""
    found = {"metric_value": trained.value}
    for mode in ("direct", "total"):
        rows = [row for row in tables.exact if row["mode"] == mode]
        for measure in ("ratio", "relative"):
            if rows:
                found[f"exact_{mode}_worst_{measure}"] = max(row[measure] for row in rows)
        if mode == "direct" and rows:
            found["exact_edges_worst_ratio"] = max(row["edge_ratio"] for row in rows)
    for mode in ("frozen", "free"):
        for name, single in (("trained", tables.single), ("random", tables.single), ("directions", tables.directions)):
            sizes = [abs(row[mode]) for row in single if row["set"] == name]
            if sizes:
                found[f"size_{mode}_{name}"] = sum(sizes) / len(sizes)
    cells: dict[str, list[float]] = {}
    for row in tables.groups:
        for measure in ("predicted", "frozen", "free"):
            cells.setdefault(f"{row['set']}_{row['n']}_{measure}", []).append(trained.value - row[measure])
    found.update({f"drop_{name}": sum(values) / len(values) for name, values in cells.items()})
    for row in band_table(tables.single, trained.frozen.n_layers):
        if row["band"] == "all":
            found[f"r_frozen_{row['set']}"], found[f"r_free_{row['set']}"] = row["r_frozen"], row["r_free"]
    return found
