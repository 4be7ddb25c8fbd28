"""Linear probes at many sites, each beside what it has to beat."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t as student

from workbench.core import ConfigError, Progress, Result, ShapeError, Silent, Site
from workbench.evaluation import Estimate

from .crossing import Crossed, cross_fit, decide, fit_probe, quality
from .examples import Examples
from .judging import Sums, auc, calibration, confusion, estimate, group_sums, lead, named, resampling
from .probe_config import ProbeConfig

Array = np.ndarray
SPARSE_BASELINES = frozenset({"tokens"})
"""Baselines whose columns are counts: they are not divided by their standard deviations."""


def probe_sites(
    rows: Mapping[Site, Float[Array, "n d"]],
    examples: Examples,
    config: ProbeConfig | None = None,
    *,
    types: Int[Array, " n"] | None = None,
    baselines: Mapping[str, Float[Array, "n _"]] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Probe the rows of every site for the same targets.

    Every score is of held-out groups: `config.folds` folds, penalties chosen by inner folds of the training groups.
    The score is balanced accuracy (all classes weigh the same, chance is 1 / classes), or R^2 for numbers.

    Args:
        types: what a memorising probe could key on (the token read, say): selectivity is the score less that on
            Hewitt and Liang's control task over these types, both resampled together.
        baselines: name -> columns that a probe of the same kind reads instead, e.g. `tokens`, `length`.

    Tables:
        probes: site, layer, score, accuracy, auc, ece, control, selectivity, shuffled (with its own, wider interval),
            strength, units; baselines: the same score of the majority and of each baseline;
        confusion, calibration, predictions: of the best site.
    Arrays: `weight.<site>` [c d] and `offset.<site>` [c] of a probe fitted on all rows with the usual penalty.

    Raises:
        ShapeError: rows of another number. ConfigError: too few groups, or a method that does not fit.
    """
    config, progress = config or ProbeConfig(), progress or Silent()
    _check(rows, examples, config)
    baselines = baselines or {}
    progress.phase("probe", total=len(rows) + len(baselines), unit="sites")
    records: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    best: tuple[float, Site, Crossed] | None = None
    sums: dict[Site, Sums] = {}
    for site, x in rows.items():
        if progress.cancelled():
            break
        x = np.asarray(x, dtype=np.float64)
        crossed = cross_fit(x, examples, config)
        record, sums[site] = _judge(site, x, crossed, examples, types, config)
        final = fit_probe(x, examples, float(np.median(crossed.strengths)), config)
        record["units"] = [] if final.units is None else final.units.tolist()
        weight = np.zeros((len(final.probe.weight), x.shape[1]))
        weight[:, np.arange(x.shape[1]) if final.units is None else final.units] = final.probe.weight
        arrays |= {f"weight.{site}": weight.astype(np.float32), f"offset.{site}": final.probe.offset.astype(np.float32)}
        records.append(record)
        if best is None or record["score"] > best[0]:
            best = (record["score"], site, crossed)
        progress.advance()
    against = _baselines(baselines, examples, config, progress)
    tables: dict[str, list[dict[str, Any]]] = {"probes": records, "baselines": [row for row, _ in against]}
    scalars: dict[str, float] = {}
    if best is not None:
        tables |= _details(best[2], examples, config)
        strongest = max(against, key=lambda found: found[0]["score"])
        ahead = lead(sums[best[1]], strongest[1], examples, resampling(config))
        scalars = {"best_score": best[0], "chance": _chance(examples), "best_baseline": strongest[0]["score"]}
        scalars |= named("lead_over_best_baseline", ahead)
    return Result(
        kind="probes",
        scalars=scalars,
        tables=tables,
        arrays=arrays,
        params={
            **config.model_dump(mode="json"),
            "metric": "R2" if examples.regression else "balanced accuracy",
            "classes": list(examples.classes),
            "best": str(best[1]) if best else "",
        },
        notes=_notes(examples, config, types is not None),
        seed=config.seed,
        partial=len(records) < len(rows),
    )


def _judge(
    site: Site, x: Array, crossed: Crossed, examples: Examples, types: Array | None, config: ProbeConfig
) -> tuple[dict[str, Any], Sums]:
    usual = resampling(config)
    sums = group_sums(crossed.logits, examples)
    record: dict[str, Any] = {"site": str(site), "layer": site.layer, "method": config.method}
    record |= named("score", estimate(sums, examples, usual))
    if examples.classes:
        record["accuracy"] = float((decide(crossed.logits) == examples.targets).mean())
        record["auc"] = auc(crossed, examples)
        record["ece"] = calibration(crossed, examples, config).error
    if types is not None:
        other = examples.control(types, config.seed)
        found = group_sums(cross_fit(x, other, config, crossed.strengths).logits, other)
        record["control"] = estimate(found, other, usual).value
        record |= named("selectivity", lead(sums, found, examples, usual))
    record |= named("shuffled", _null(x, crossed, examples, config))
    record["strength"] = float(np.median(crossed.strengths))
    return record, sums


def _null(x: Array, crossed: Crossed, examples: Examples, config: ProbeConfig) -> Estimate:
    """Mean score of the same probes on shuffled labels; Student's interval over shuffles.

    Resampled groups would leave out that probes fitted on other shuffles differ, which is most of the spread.
    """
    scores = []
    for number in range(config.shuffles):
        false = examples.shuffled(config.seed, number)
        scores.append(quality(cross_fit(x, false, config, crossed.strengths).logits, false))
    mean, spread = float(np.mean(scores)), float(np.std(scores, ddof=1))
    half = float(student.ppf(0.5 + config.null_confidence / 2, config.shuffles - 1)) * spread / config.shuffles**0.5
    return Estimate(mean, mean - half, mean + half)


def _baselines(
    baselines: Mapping[str, Array], examples: Examples, config: ProbeConfig, progress: Progress
) -> list[tuple[dict[str, Any], Sums]]:
    usual = resampling(config)
    majority = np.zeros((len(examples), 1))
    if examples.regression:
        majority[:] = examples.targets.mean()
    elif len(examples.classes) > 2:
        counts = np.bincount(examples.targets, minlength=len(examples.classes))
        majority = np.tile(counts.astype(float), (len(examples), 1))
    elif examples.targets.mean() > 0.5:
        majority += 1
    sums = group_sums(majority, examples)
    constant = {"baseline": "the mean" if examples.regression else "majority"}
    constant |= named("score", estimate(sums, examples, usual))
    if examples.classes:
        constant["accuracy"] = float((decide(majority) == examples.targets).mean())
    found = [(constant, sums)]
    whole = config if config.method != "sparse" else config.model_copy(update={"method": "logistic"})
    for name, columns in baselines.items():
        columns = np.asarray(columns, dtype=np.float64)
        crossed = cross_fit(columns, examples, whole, standardise=name not in SPARSE_BASELINES)
        sums = group_sums(crossed.logits, examples)
        row = {"baseline": name, **named("score", estimate(sums, examples, usual))}
        if examples.classes:
            row["accuracy"] = float((decide(crossed.logits) == examples.targets).mean())
        found.append((row, sums))
        progress.advance()
    return found


def _details(crossed: Crossed, examples: Examples, config: ProbeConfig) -> dict[str, list[dict[str, Any]]]:
    if examples.regression:
        pairs = zip(examples.targets.tolist(), crossed.logits[:, 0].tolist(), strict=True)
        return {"predictions": [{"row": i, "target": y, "predicted": p} for i, (y, p) in enumerate(pairs)]}
    said = decide(crossed.logits)
    predictions = [
        {
            "row": row,
            "group": int(examples.group[row]),
            "target": examples.classes[int(examples.targets[row])],
            "predicted": examples.classes[int(said[row])],
            "probability": float(crossed.probabilities[row, int(examples.targets[row])]),
        }
        for row in range(len(examples))
    ]
    return {
        "confusion": confusion(crossed, examples),
        "calibration": calibration(crossed, examples, config).bins,
        "predictions": predictions,
    }


def _chance(examples: Examples) -> float:
    return 0.0 if examples.regression else 1 / len(examples.classes)


def _check(rows: Mapping[Site, Array], examples: Examples, config: ProbeConfig) -> None:
    if not rows:
        raise ConfigError("probing needs the rows of at least one site")
    for site, x in rows.items():
        if len(x) != len(examples):
            raise ShapeError(f"{len(examples)} examples want as many rows at {site}", found=f"found {len(x)}")
    if examples.regression and config.method not in ("ridge", "sparse"):
        raise ConfigError(f"{config.method} tells classes", found="the labels are numbers", hint="take ridge or sparse")
    for number, name in enumerate(examples.classes):
        groups = len(np.unique(examples.group[examples.targets == number]))
        if groups < 2:
            raise ConfigError(
                f"class {name!r} wants two groups or more, one to learn from and one to test",
                found=f"found {groups}",
                hint="give more sources, or no column `group` if the texts are independent",
            )


def _notes(examples: Examples, config: ProbeConfig, control: bool) -> tuple[str, ...]:
    groups = len(np.unique(examples.group))
    score = "R^2" if examples.regression else "Balanced accuracy (each class weighs the same)"
    found = [
        f"{score} on held-out groups: {len(examples)} rows of {groups} groups, {config.folds} folds; penalties chosen "
        f"by {config.inner_folds} inner folds; intervals: bootstrap over groups, {config.confidence:.0%}.",
        f"shuffled: the same probes on labels shuffled {config.shuffles} times, {config.null_confidence:.1%} interval.",
    ]
    if control:
        found.append("control: a random label for each type (Hewitt and Liang 2019); selectivity: score less control.")
    if examples.classes:
        found.append(f"ece: expected calibration error, {config.bins} bins; temperature from inner held-out rows.")
    return tuple(found)
