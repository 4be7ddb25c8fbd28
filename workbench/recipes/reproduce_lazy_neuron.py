"""`reproduce lazy-neuron`: The Lazy Neuron Phenomenon (Li et al. 2022) on a small ReLU model, ours beside theirs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.core import ConfigError, Progress, Result, register, write_json
from workbench.workspace import shipped_folder

from .lazy_neuron_runs import RUNS, LazyRun, lazy_run
from .reproduce_config import ReproduceConfig
from .reproduce_summary import Compared, summary

PAPER = {"start": 0.5, "T5-Base": 0.027, "ViT-B/16": 0.063, "ece": 0.0842, "ece_top_k": 0.0748}
"""Densities, and calibration errors of ViT and of its Top-128 (ImageNet)."""
PAPER_NEURONS = {"under_10_percent": 0.935, "over_1_percent": 0.99, "dead": 0.0}
"""Of T5's first encoder layer."""


@register("reproduction", "lazy-neuron")
def reproduce_lazy_neuron(folder: Path, config: ReproduceConfig, progress: Progress) -> Result:
    """Density by layer through training, with controls; Top-k training; robustness and calibration."""
    source, partial = shipped_curves(), False
    if config.from_scratch:
        source = config.save or folder / "curves"
        partial = _train(_chosen(config), folder, source, progress)
    found = [json.loads(path.read_text(encoding="utf-8")) for path in _files(source, config)]
    if not found:
        raise ConfigError(f"no measured run in {source}", hint="train them with --from-scratch")
    return Result(
        "lazy_neuron",
        scalars={"density_start": _mean(found[0]["curve"][0]["density"]), "density_end": _mean(found[0]["density"])},
        tables={
            "summary": _summary(found),
            "density": [_density_row(run) for run in found],
            "neurons": [row for run in found if run["run"]["name"] == "dense" for row in _neuron_rows(run)],
            "top_k": _top_k_rows(found),
            "robustness": [row for run in found for row in _robustness_rows(run)],
            "calibration": _calibration_rows(found),
            "curves": [row for run in found for row in _curve_rows(run)],
        },
        params={"name": "lazy-neuron"},
        notes=_NOTES,
        seed=0,
        partial=partial,
    )


def shipped_curves() -> Path:
    """Where the measured runs lie in the package."""
    return shipped_folder() / "lazy-neuron"


def _chosen(config: ReproduceConfig) -> Sequence[LazyRun]:
    return [lazy_run(name) for name in config.chosen] or RUNS


def _files(source: Path, config: ReproduceConfig) -> list[Path]:
    paths = [source / f"{run.name}.json" for run in _chosen(config)]
    return [path for path in paths if path.is_file()]


def _train(runs: Sequence[LazyRun], folder: Path, target: Path, progress: Progress) -> bool:
    """Train and measure, run after run; whether it was cut short."""
    from workbench.models import assign, hugging_face_state, new_relu_model, save_relu_model
    from workbench.training import LanguageModule

    from .lazy_neuron import DensityProbe, lazy_text, new_lazy_model, probe_text, train_lazy
    from .lazy_neuron_measures import measure_lazy

    text = lazy_text()
    train, heldout = text.split("train"), text.split("heldout")
    for run in runs:
        model = train_lazy(run, text, folder, progress)
        if model.trained.partial:
            return True
        fresh = LanguageModule(new_lazy_model(), edits=model.edits, trains="model")
        start = DensityProbe(probe_text(text))(fresh)
        write_json(target / f"{run.name}.json", measure_lazy(model, train, heldout, start))
        if run.name == "dense":
            made = new_relu_model()
            made.load_state_dict(hugging_face_state(assign(model.hooked, model.weights)))
            save_relu_model(made, target / "tiny-relu")
    return False


def _summary(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Density before and after training, of the model and of its controls."""
    theirs = {
        "dense": f"{PAPER['T5-Base']} (T5-Base), {PAPER['ViT-B/16']} (ViT)",
        "random-labels": "falls too",
        "random-inputs": "falls too",
    }
    paper, differs = "The Lazy Neuron Phenomenon (Li et al. 2022)", "3 layers, 600 steps; theirs up to 10^5 and more"
    lines = []
    for run in found:
        name = run["run"]["name"]
        if name in theirs:
            steps = run["curve"][-1]["step"]
            start = _mean(run["curve"][0]["density"])
            untrained = f"share of neurons above 0, {name}, untrained"
            lines.append(Compared(paper, untrained, start, published=PAPER["start"], differs=differs))
            after = f"share of neurons above 0, {name}, after {steps} steps"
            lines.append(Compared(paper, after, _mean(run["density"]), published=theirs[name], differs=differs))
    return summary(*lines)


def _density_row(run: dict[str, Any]) -> dict[str, Any]:
    start, end = run["curve"][0]["density"], run["density"]
    return {
        "run": run["run"]["name"],
        "steps": run["curve"][-1]["step"],
        "start": _mean(start),
        **{f"end.{layer}": value for layer, value in enumerate(end)},
        "end": _mean(end),
        "on_training_text": _mean(run["density_train"]),
        "heldout_loss": run["loss"],
        "training_loss": run["curve"][-1]["loss"],
        "paper_start": PAPER["start"],
        "paper_end": f"{PAPER['T5-Base']} (T5-Base), {PAPER['ViT-B/16']} (ViT)",
    }


def _neuron_rows(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "run": run["run"]["name"],
            "layer": layer,
            **{key: run[key][layer] for key in PAPER_NEURONS},
            **{f"paper_{key}": value for key, value in PAPER_NEURONS.items()},
        }
        for layer in range(len(run["density"]))
    ]


def _top_k_rows(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    dense = next((run for run in found if run["run"]["name"] == "dense"), None)
    rows = []
    for run in found:
        if run["run"]["label_noise"] or run["run"]["targets"] != "text" or run["run"]["sequences"]:
            continue
        rows.append(
            {
                "run": run["run"]["name"],
                "k": run["run"]["top_k"],
                "loss": run["loss"],
                "loss_less_dense": run["loss"] - dense["loss"] if dense else None,
                "accuracy": run["accuracy"],
                "density": _mean(run["density"]),
                "paper": "Top-128 of 2,048 to 3,072 neurons within 0.3 % of dense",
            }
        )
    return sorted(rows, key=lambda row: row["k"] or 10**9)


def _robustness_rows(run: dict[str, Any]) -> list[dict[str, Any]]:
    if run["run"]["targets"] != "text" or run["run"]["sequences"]:
        return []
    return [{"run": run["run"]["name"], **row} for row in run["robustness"]]


def _calibration_rows(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for run in found:
        if run["run"]["targets"] == "text" and not run["run"]["sequences"]:
            theirs = PAPER["ece_top_k"] if run["run"]["top_k"] else PAPER["ece"]
            rows.append(
                {
                    "run": run["run"]["name"],
                    "label_noise": run["run"]["label_noise"],
                    "calibration_error": run["calibration_error"],
                    "loss": run["loss"],
                    "accuracy": run["accuracy"],
                    "characters": run["characters"],
                    "paper_calibration_error": None if run["run"]["label_noise"] else theirs,
                }
            )
    return rows


def _curve_rows(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"run": run["run"]["name"], "step": point["step"], "layer": layer, "density": value, "loss": point["loss"]}
        for point in run["curve"]
        for layer, value in enumerate(point["density"])
    ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


_NOTES = (
    "a three-layer OPT with 512 ReLU neurons a layer reads the characters of Wikipedia; the paper: T5 and ViT, with up "
    "to hundreds of thousands of steps",
    "density: share of the neurons above 0, mean over held-out tokens; end.N: layer N",
    "random-labels: every next character drawn once for all; random-inputs: every read character drawn once for all; "
    "few-texts: the same 256 sequences as these two, untouched; noise-40: 40 % of the next characters drawn",
    "robustness: accuracy and loss (nats a character) with inputs disturbed; calibration error over 15 bins",
)
