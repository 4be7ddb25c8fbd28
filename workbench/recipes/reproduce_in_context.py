"""`reproduce in-context`: What Learning Algorithm Is In-Context Learning? (Akyürek et al. 2022), ours beside theirs."""

from pathlib import Path
from typing import Any

from workbench.core import ConfigError, Progress, Result, register
from workbench.models import RegressionTransformer
from workbench_probes import InContextConfig

from .in_context import new_in_context, open_in_context, save_in_context, shipped_in_context, train_in_context
from .in_context_measures import Comparison, compare_run, nearest_penalty, probe_rows, ridge_name
from .in_context_runs import DEPTH, RUNS, InContextRun, in_context_run
from .reproduce_config import ReproduceConfig
from .reproduce_summary import Compared, summary

PAPER = "In-context learning (Akyürek et al. 2022)"
DIFFERS = "d 4, 16 pairs, 32 wide, up to 6 blocks, 4,700 steps; theirs d 8, 40 pairs, 512 wide, 16 blocks, 500,000"
SPD_RIDGE = {0.0: 1.25e-5, 1 / 16: 3.29e-5, 1 / 9: 3.86e-5, 1 / 4: 3.30e-5, 4 / 9: 6.10e-5}
"""SPD of a model trained at that variance of the noise to ridge regression with the variance as penalty."""
SPD_LEAST_SQUARES = {0.0: 1.25e-5, 1 / 16: 1.34e-4, 1 / 9: 3.96e-4, 1 / 4: 1.51e-3, 4 / 9: 4.13e-3}
PHASES = {
    1: "nearest one gradient step",
    2: "nearest ridge",
    4: "nearest ridge",
    6: "nearest ridge, from 8 least squares",
}
_BASE = f"depth-{DEPTH}"

Models = dict[str, tuple[InContextRun, RegressionTransformer]]


@register("reproduction", "in-context")
def reproduce_in_context(folder: Path, config: ReproduceConfig, progress: Progress) -> Result:
    """SPD and ILWD to every predictor over depth and noise, probes by layer, and pasted blocks."""
    models, partial = _models(folder, config, progress)
    wanted, compared = InContextConfig(), {}
    progress.phase("compare with the predictors", total=len(models), unit="models")
    for name, (run, model) in models.items():
        compared[name] = compare_run(run, model, wanted)
        progress.advance()
    depth = sorted((row for row in compared.values() if row.run.name.startswith("depth")), key=lambda r: r.run.layers)
    noise = [row for name, row in compared.items() if name.startswith("noise") or name == _BASE]
    tables = {
        "models": [_model_row(row) for row in compared.values()],
        "depth": [line for row in depth for line in row.rows(wanted)],
        "noise": [line for row in noise for line in row.rows(wanted)],
        "penalties": [_penalty_row(row, wanted) for row in {row.run.name: row for row in (*depth, *noise)}.values()],
        "probes": _probes(models, wanted, progress),
        "pasting": _pasting(compared, wanted),
        "curves": [line for row in compared.values() for line in _length_rows(row, wanted)],
    }
    return Result(
        "in_context",
        tables={"summary": _summary(tables), **tables},
        params={"name": "in-context"},
        notes=_NOTES,
        seed=0,
        partial=partial,
    )


def _models(folder: Path, config: ReproduceConfig, progress: Progress) -> tuple[Models, bool]:
    """The shipped models, or those trained now (and saved); and whether training was cut short."""
    runs = [in_context_run(name) for name in config.chosen] or RUNS
    if not config.from_scratch:
        there = [run for run in runs if (shipped_in_context() / run.name).is_dir()]
        if not there:
            raise ConfigError("no model of in-context regression is shipped", hint="train them with --from-scratch")
        return {run.name: (run, open_in_context(run.name)) for run in there}, False
    found: Models = {}
    for run in runs:
        model, trained = train_in_context(run, folder, progress)
        if trained.partial:
            return found, True
        save_in_context(run, model, trained, config.save or folder / "artifacts")
        found[run.name] = run, model.eval()
    return found, False


def _model_row(row: Comparison) -> dict[str, Any]:
    task = row.run.task
    about = {"model": row.run.name, "layers": row.run.layers, "noise": task.noise, "steps": row.run.steps}
    best = {key.replace("error", "least_error"): value for key, value in row.best.items()}
    return {**about, "starts_with": row.run.start, **row.error, **best}


def _penalty_row(row: Comparison, config: InContextConfig) -> dict[str, Any]:
    """The ridge regression that a model is nearest to, and its distance to that of its own noise."""
    own, plain = (row.found[ridge_name(value)] for value in (row.run.task.noise, 0.0))
    noise = row.run.task.noise
    return {
        "model": row.run.name,
        "layers": row.run.layers,
        "noise": noise,
        **nearest_penalty(row, config),
        "spd_own_ridge": float(own.spd.mean()),
        "paper_own_ridge": _told(SPD_RIDGE, row),
        "spd_least_squares": float(plain.spd.mean()),
        "paper_least_squares": _told(SPD_LEAST_SQUARES, row),
    }


def _told(published: dict[float, float], row: Comparison) -> str | None:
    return f"{published[row.run.task.noise]:.2e}" if row.run.layers == DEPTH else None


def _probes(models: Models, config: InContextConfig, progress: Progress) -> list[dict[str, Any]]:
    """The trained model, the one trained with w = 1, and an untrained one, on the contexts of the first."""
    if _BASE not in models:
        return []
    run, model = models[_BASE]
    read = {"trained": model, "untrained": new_in_context(run).eval()}
    if "control" in models:
        read["control: trained with w = 1"] = models["control"][1]
    return list(probe_rows(read, run, config, progress))


def _pasting(compared: dict[str, Comparison], config: InContextConfig) -> list[dict[str, Any]]:
    names = {
        "pasted": "upper blocks of `represented`, frozen; new embedding and answer",
        "pasted-random": "untrained blocks, frozen; new embedding and answer",
        "depth-2": "as many blocks, all trained on the plain task",
    }
    rows = []
    for name, what in names.items():
        if name in compared:
            near = next(row for row in compared[name].rows(config) if row["predictor"] == "least squares")
            kept = {key: value for key, value in near.items() if key.startswith(("spd", "ilwd"))}
            best = compared[name].best["error"]
            rows.append({"model": name, "blocks": what, **compared[name].error, "ridge_error": best, **kept})
    return rows


def _length_rows(row: Comparison, config: InContextConfig) -> list[dict[str, Any]]:
    return [
        {"model": row.run.name, "pairs": pairs, "predictor": name, "spd": float(found.spd[:, i].mean()),
         "ilwd": float(found.ilwd[:, i].mean())}
        for name, found in row.found.items() for i, pairs in enumerate(config.lengths)
    ]  # fmt: skip


def _summary(tables: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The nearest predictor at each depth, the penalties, and what the last layer tells."""
    lines, told = [], {"paper": PAPER, "differs": DIFFERS}
    seen: set[int] = set()
    for row in tables["depth"]:
        if row["layers"] not in seen:
            seen.add(row["layers"])
            what = f"SPD to the nearest predictor, {row['layers']} blocks: {row['predictor']}"
            lines.append(Compared.of(row, "spd", what=what, published=PHASES.get(row["layers"]), **told))
    for row in tables["penalties"]:
        what = f"penalty of the nearest ridge regression, {row['layers']} blocks, noise {row['noise']:.3g}"
        claim = round(row["noise"], 3) if row["layers"] == DEPTH else None
        lines.append(Compared.of(row, "nearest_penalty", what=what, published=claim, **told))
    for target in ("X'y", "w"):
        for model in dict.fromkeys(row["model"] for row in tables["probes"]):
            own = [
                row
                for row in tables["probes"]
                if (row["model"], row["target"], row["probe"]) == (model, target, "network")
            ]
            best = max(own, key=lambda row: row["r2"])
            what = f"R^2 of a probe for {target}, best layer ({best['layer']} of {DEPTH}), {model}"
            published = {"X'y": "decodable from layer 7 of 16", "w": "decodable from layer 12 of 16"}[target]
            lines.append(
                Compared(what=what, ours=best["r2"], low=best["low"], high=best["high"],
                         published=published if model == "trained" else None, **told)
            )  # fmt: skip
    for row in tables["pasting"]:
        what = f"error over d of {row['model']}; ridge has {row['ridge_error']:.4f}"
        claim = "upper layers alone learn linear functions" if row["model"] == "pasted" else None
        told_here = {
            "paper": "Beyond Simple Functions (Guo et al. 2023)",
            "differs": "4 blocks; theirs GPT-2 style, 12",
        }
        lines.append(Compared.of(row, "error", what=what, published=claim, **told_here))
    return summary(*lines)


_NOTES = (
    "spd, ilwd: mean squared difference of answers, and of the weights that they imply, over d; means over contexts "
    "of 1, 2, 6, 8, 12 and 15 pairs, 95 % intervals over 256 contexts; error: to w . x, without the noise",
    "noise: variance over that of a weight; models with noise go on from depth-4 for 700 steps, represented for 1,500; "
    "all others start from random weights and take the steps that the table says",
    "with noise, least squares has no finite mean near as many pairs as entries: lengths 3 to 5 are left out",
    "probes: scores over positions, softmax, then a linear map or a network of 128; held-out R^2. Targets are made of "
    "the first 15 pairs; every model reads the same contexts, with a new w each; the control saw w = 1 alone in its "
    "training, and has nothing to infer",
    "represented: y = w . f(x), f a fixed leaky-ReLU network of two layers; pasted: its two upper blocks",
)
