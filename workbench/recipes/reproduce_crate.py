"""`reproduce crate`: White-Box Transformers via Sparse Rate Reduction (Yu et al. 2023) on small pictures of digits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core import Progress, Result, register
from workbench.evaluation import EvaluateConfig
from workbench.models import PatchClassifier, new_classifier

from .crate import (
    BlockMeasures,
    answers,
    digit_patches,
    mean_over,
    measure_blocks,
    open_classifier,
    save_classifier,
    shipped_classifier,
    train_classifier,
)
from .crate_runs import RUNS, CrateRun, crate_run
from .reproduce_config import ReproduceConfig
from .reproduce_summary import Compared, summary

PAPER = "CRATE (Yu et al. 2023)"
DIFFERS = "6 blocks on 8 x 8 digits; theirs 12 on ImageNet"


@register("reproduction", "crate")
def reproduce_crate(folder: Path, config: ReproduceConfig, progress: Progress) -> Result:
    """The coding rate and the sparsity block by block, trained and untrained; accuracy beside plain blocks."""
    chosen = [crate_run(name) for name in config.chosen] or list(RUNS)
    models, partial = _models(chosen, folder, config, progress)
    settings, (_, test) = EvaluateConfig(), digit_patches()
    progress.phase("measure the blocks", total=len(models), unit="models")
    blocks, accuracy = [], []
    for run, model in models:
        right, loss = answers(model, test)
        size = sum(weight.numel() for weight in model.parameters())
        accuracy.append({"run": run.name, "weights": size, **_named("accuracy", mean_over(right, settings)),
                         **_named("loss", mean_over(loss, settings))})  # fmt: skip
        if run.model.blocks == "crate":
            untrained = new_classifier(run.model, run.training.seed).eval()
            for state, measured in (("untrained", untrained), ("trained", model)):
                found = measure_blocks(measured, test.patches)
                blocks += [_row(run, state, number, block, settings) for number, block in enumerate(found)]
        progress.advance()
    return Result(
        "crate",
        tables={
            "summary": _summary(blocks, accuracy),
            "blocks": _means(blocks),
            "accuracy": accuracy,
            "blocks by run": blocks,
        },
        params={"name": "crate"},
        notes=_NOTES,
        seed=0,
        partial=partial,
    )


def _models(
    runs: Sequence[CrateRun], folder: Path, config: ReproduceConfig, progress: Progress
) -> tuple[list[tuple[CrateRun, PatchClassifier]], bool]:
    """The shipped models, or those trained now (and saved); and whether training was cut short."""
    if not config.from_scratch:
        return [(run, open_classifier(run, shipped_classifier(run))) for run in runs], False
    found = []
    for run in runs:
        model, partial = train_classifier(run, folder, progress)
        if partial:
            return found, True
        save_classifier(run, model, config.save or folder / "artifacts")
        found.append((run, model))
    return found, False


def _row(run: CrateRun, state: str, number: int, block: BlockMeasures, config: EvaluateConfig) -> dict[str, Any]:
    values = {
        "rate_before": block.before,
        "rate": block.between,
        "lowered": block.before - block.between,
        "whole_rate": block.whole,
        "nonzero": block.nonzero,
    }
    measured = {key: value for name, found in values.items() for key, value in
                _named(name, mean_over(found, config)).items()}  # fmt: skip
    return {"run": run.name, "state": state, "block": number, **measured}


def _named(name: str, estimate: dict[str, float]) -> dict[str, float]:
    return {name: estimate["value"], f"{name}_low": estimate["low"], f"{name}_high": estimate["high"]}


def _summary(blocks: list[dict[str, Any]], accuracy: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds with their range."""
    lines = []
    for key, what in (("rate", "coding rate R^c after attention"), ("nonzero", "share of entries that are not 0")):
        for state, claim in (("trained", "below 1: falls with depth"), ("untrained", "falls less")):
            found = _by_block(blocks, state, key)
            if found.size:
                lines.append(_line(f"{what}, last block over first, {state}", found[:, -1] / found[:, 0], claim))
    lowered = _by_block(blocks, "trained", "lowered")
    if lowered.size:
        lines.append(_line("share of blocks whose attention lowers R^c", (lowered > 0).mean(1), "1, by derivation"))
    for kind, name in (("crate", "CRATE"), ("plain", "plain blocks of as many weights")):
        right = np.array([row["accuracy"] for row in accuracy if row["run"].startswith(kind)])
        if right.size:
            claim = "CRATE-Tiny 0.667 on ImageNet" if kind == "crate" else None
            lines.append(_line(f"accuracy, {name}", right, claim))
    return summary(*lines)


def _means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the runs of every block."""
    keys = ("rate_before", "rate", "whole_rate", "nonzero")
    values = {(state, key): _by_block(rows, state, key) for state in ("untrained", "trained") for key in keys}
    return [
        {"state": state, "block": block, **{key: float(values[state, key][:, block].mean()) for key in keys}}
        for state in ("untrained", "trained")
        for block in range(values[state, "rate"].shape[1] if rows else 0)
    ]


def _by_block(rows: list[dict[str, Any]], state: str, key: str) -> np.ndarray:
    """Of each run, the value of every block."""
    runs = dict.fromkeys(row["run"] for row in rows)
    return np.array([[row[key] for row in rows if (row["run"], row["state"]) == (run, state)] for run in runs])


def _line(what: str, values: np.ndarray, published: str | None) -> Compared:
    seeds = f"; range of {len(values)} seeds" if len(values) > 1 else ""
    return Compared(
        PAPER, what + seeds, float(values.mean()), float(values.min()), float(values.max()), published, DIFFERS
    )


_NOTES = (
    "rate: R^c of a picture's 17 tokens in the block's own subspaces, after its attention (rate_before: before it), in "
    "nats with epsilon 0.01, of tokens scaled to length 1; whole_rate: R of the same; blocks: means of the seeds",
    "nonzero: share of the entries above 0 after the sparse step; intervals of runs: 95 %, over 602 test pictures",
    "plain: three ordinary blocks with an MLP as wide as the stream have the weights of six of CRATE's",
)
