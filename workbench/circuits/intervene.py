"""Interventions: what a graph predicts of setting features to other values, beside what the model does."""

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import CircuitGraph, ConfigError, Progress, Result, Silent, generator, nearest
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel, TokenBatch

from .analysis import Analysis, analyse
from .intervene_config import InterveneConfig, Intervention
from .measure import Measurements, Removal
from .sums import target_of

NOTES = (
    "a feature's write is changed in the MLP output by (new - old activation) x decoder row, at its layer and position",
    "predicted = summed total linear effects x the share of each activation that is taken away, sign reversed",
    "frozen: attention patterns and norm scales held, real MLPs; free: everything runs anew",
    "random: as many other active features, the same mean share taken away; wrong sign: the change turned round",
    "passes: right sign, within the tolerance of the prediction, and larger than every random group's change",
    "swap: the feature's activation in the other prompt, at the same position where both are as long, else the largest",
)


def intervene(
    model: HookedModel,
    dictionaries: DictionarySet,
    graph: CircuitGraph,
    tests: Sequence[Intervention],
    config: InterveneConfig | None = None,
    other: TokenBatch | Int[Tensor, "..."] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Set features of a graph's prompt to other values and measure the metric (kind `interventions`).

    Tables: `tests` (test, mode, predicted, measured, sign_agrees, passes, and the controls' mean, sd and largest),
    `controls` (every random group and the wrong sign), `tokens` (next tokens before and after), `nodes` (members).

    Args:
        other: the prompt from which `swap` takes values.

    Raises:
        ConfigError: a node that is no active feature of the prompt, or a swap without another prompt.
    """
    config, progress = config or InterveneConfig(), progress or Silent()
    progress.phase("freezing the run")
    analysis = analyse(model, dictionaries, torch.tensor(graph.token_ids), target_of(graph))
    swapped = None
    if any(test.operation == "swap" for test in tests):
        if other is None:
            raise ConfigError("a swap needs another prompt to take values from")
        swapped = _activations(analyse(model, dictionaries, other, target_of(graph)))
    known = _numbers(analysis)
    shares = [_shares(analysis, known, test, swapped) for test in tests]
    groups, labels = _groups(analysis, tests, shares, config)
    runs = Measurements(model, analysis, config.batch, progress)
    removals = [_removal(runs, group) for group in groups]
    modes = [name for name in ("frozen", "free") if getattr(config, name)]
    progress.phase("measuring", len(modes) * (len(removals) + 1), "runs")
    found = {mode: _changes(runs, removals, mode) for mode in modes}
    predicted = [-sum(share * float(analysis.total[node]) for node, share in group) for group in groups]
    controls = [
        {"test": test, "control": control, "mode": mode, "predicted": predicted[i], "measured": found[mode][i]}
        for mode in modes
        for i, (test, control) in enumerate(labels)
    ]
    rows = [_row(test, mode, controls, config) for test in tests for mode in modes]
    return Result(
        kind="interventions",
        scalars=_scalars(rows, analysis.value),
        tables={
            "tests": rows,
            "controls": [row for row in controls if row["control"]],
            "tokens": _tokens(runs, model, tests, removals, labels, modes[0], config),
            "nodes": [
                {"test": test.name, "node": name, "taken_away": share}
                for test, group in zip(tests, shares, strict=True)
                for name, (_, share) in zip(test.nodes, group, strict=True)
            ],
        },
        params={**config.model_dump(), "tests": [test.model_dump(mode="json") for test in tests]},
        inputs={"graph": graph.manifest.content_hash},
        notes=NOTES,
        seed=config.seed,
        partial=runs.interrupted,
    )


Group = list[tuple[int, float]]
"""Unit nodes, and which share of its activation is taken away from each."""


def _numbers(analysis: Analysis) -> dict[str, int]:
    ids = analysis.ids()
    return {ids[node]: node for node in analysis.unit_nodes.tolist()}


def _activation(analysis: Analysis, node: int) -> float:
    units, number = analysis.unit(node)
    return float(units.activation[number])


def _activations(analysis: Analysis) -> tuple[int, dict[tuple[int, int], dict[int, float]]]:
    """Prompt length, and (layer, unit) -> position -> activation."""
    found: dict[tuple[int, int], dict[int, float]] = {}
    for units in analysis.replacement.layers:
        columns = units.index.tolist(), units.position.tolist(), units.activation.tolist()
        for index, position, value in zip(*columns, strict=True):
            found.setdefault((units.layer, index), {})[position] = value
    return len(analysis.frozen.tokens), found


def _shares(analysis: Analysis, known: dict[str, int], test: Intervention, swapped: Any) -> Group:
    group = []
    for name in test.nodes:
        if name not in known:
            hint = nearest(name, list(known))
            raise ConfigError(f"{name} is no active feature of the prompt", found=f"test {test.name!r}", hint=hint)
        node = known[name]
        old, new = _activation(analysis, node), test.value
        if test.operation == "ablate":
            new = 0.0
        elif test.operation == "swap":
            units, number = analysis.unit(node)
            length, values = swapped
            seen = values.get((units.layer, int(units.index[number])), {})
            same = length == len(analysis.frozen.tokens)
            new = seen.get(int(units.position[number]), 0.0) if same else max(seen.values(), default=0.0)
        group.append((node, 1 - new / old if old else 0.0))
    return group


def _groups(
    analysis: Analysis, tests: Sequence[Intervention], shares: Sequence[Group], config: InterveneConfig
) -> tuple[list[Group], list[tuple[str, str]]]:
    """Every group that is run, and (test, control) of each; the control of a test itself is empty."""
    groups, labels = [], []
    for test, group in zip(tests, shares, strict=True):
        groups.append(group)
        labels.append((test.name, ""))
        groups.append([(node, -share) for node, share in group])
        labels.append((test.name, "wrong sign"))
        members = {node for node, _ in group}
        others = [node for node in analysis.unit_nodes.tolist() if node not in members]
        mean = statistics.fmean(share for _, share in group)
        for seed in range(config.seeds):
            draw = torch.randperm(len(others), generator=generator(config.seed, "intervene", test.name, seed))
            groups.append([(others[i], mean) for i in draw[: len(group)].tolist()])
            labels.append((test.name, f"random {seed}"))
    return groups, labels


def _removal(runs: Measurements, group: Group) -> Removal:
    found = []
    for node, share in group:
        writes = runs.writes(torch.tensor([node]))
        found += [(layer, position, share * vector) for layer, position, vector in writes]
    return found


def _changes(runs: Measurements, removals: Sequence[Removal], mode: str) -> list[float]:
    values = runs.without([(), *removals], mode)
    return (values[1:] - values[0]).tolist()


def _row(test: Intervention, mode: str, controls: list[dict[str, Any]], config: InterveneConfig) -> dict[str, Any]:
    mine = [row for row in controls if row["test"] == test.name and row["mode"] == mode]
    told = next(row for row in mine if not row["control"])
    random = torch.tensor([row["measured"] for row in mine if row["control"].startswith("random")])
    predicted, measured = told["predicted"], told["measured"]
    agrees = predicted * measured > 0
    near = abs(measured - predicted) <= config.tolerance * abs(predicted)
    largest = float(random.abs().max()) if len(random) else 0.0
    return {
        "test": test.name,
        "operation": test.operation,
        "nodes": len(test.nodes),
        "mode": mode,
        "predicted": predicted,
        "measured": measured,
        "sign_agrees": agrees,
        "passes": agrees and near and abs(measured) > largest,
        "wrong_sign": next(row["measured"] for row in mine if row["control"] == "wrong sign"),
        "random_mean": float(random.mean()) if len(random) else float("nan"),
        "random_sd": float(random.std()) if len(random) > 1 else float("nan"),
        "random_largest": largest if len(random) else float("nan"),
    }


def _scalars(rows: list[dict[str, Any]], value: float) -> dict[str, float]:
    found = {"metric_value": value, "tests": float(len({row["test"] for row in rows}))}
    if rows:
        found["sign_agreement"] = statistics.fmean(row["sign_agrees"] for row in rows)
        found["passed"] = statistics.fmean(row["passes"] for row in rows)
        mean = statistics.fmean(row["measured"] for row in rows)
        total = sum((row["measured"] - mean) ** 2 for row in rows)
        missed = sum((row["measured"] - row["predicted"]) ** 2 for row in rows)
        if len(rows) > 2 and total:
            found["r_squared"] = 1 - missed / total
    return found


def _tokens(
    runs: Measurements,
    model: HookedModel,
    tests: Sequence[Intervention],
    removals: Sequence[Removal],
    labels: Sequence[tuple[str, str]],
    mode: str,
    config: InterveneConfig,
) -> list[dict[str, Any]]:
    """The next tokens before, and what becomes of them."""
    own = [removal for removal, (_, control) in zip(removals, labels, strict=True) if not control]
    chances = runs.logits([(), *own], mode).softmax(-1)
    rows = []
    words = model.tokenizer.strings if model.tokenizer is not None else lambda ids: [str(id) for id in ids]
    for test, after in zip(tests, chances[1:], strict=True):
        shown = list(dict.fromkeys([*_top(chances[0], config.top), *_top(after, config.top)]))
        for token, text in zip(shown, words(shown), strict=True):
            before = float(chances[0, token])
            rows.append({"test": test.name, "token": text, "before": before, "after": float(after[token])})
    return rows


def _top(chances: Tensor, n: int) -> list[int]:
    return chances.topk(min(n, len(chances))).indices.tolist()
