"""Trained models of the automaton as small artifacts: weights and codes in float16, and the loss on the way."""

import copy
import json
from pathlib import Path
from typing import Any

from workbench.core import Artifact, Manifest, ModelRef, read_artifact, write_artifact
from workbench.dictionaries import DictionarySet
from workbench.evaluation import AutomatonSubject
from workbench.models import automaton_model, digit_tokenizer, hash_tensors, wrap
from workbench.training import TrainedLanguage
from workbench.workspace import shipped_folder

from .automaton import automaton_setting
from .automaton_runs import AutomatonRun, automaton_run
from .codebook_artifact import load_codebooks, save_codebooks

KIND, CURVE = "automaton model", "curve.json"
_POINTS = 200


def shipped_run(name: str) -> Path:
    """Where the artifact of a run lies in the package, if it is shipped."""
    return shipped_folder() / "automaton" / name


def save_run(run: AutomatonRun, trained: TrainedLanguage, folder: Path) -> Artifact:
    """Write a trained run to a folder of its name below `folder`: codes, weights, and the curve of its loss."""
    target, curve = folder / run.name, _curve(trained.metrics)
    details = {"run": run.model_dump(mode="json"), "tokens": trained.metrics[-1]["tokens"], "partial": trained.partial}
    if run.is_plain:
        weights = {name: weight.half().contiguous() for name, weight in trained.weights.items()}
        return write_artifact(target, Manifest(kind=KIND, name=run.name, details=details), weights, {CURVE: curve})
    books = DictionarySet([copy.deepcopy(codec).half() for codec in trained.module.dictionaries()], run.name)

    def fill(staging: Path) -> None:
        (staging / CURVE).write_text(json.dumps(curve), encoding="utf-8")

    manifest = Manifest(kind="dictionary set", name=run.name, details=details)
    return save_codebooks(books, target, manifest, trained.weights, fill=fill)


def open_run(name: str, folder: Path | None = None) -> tuple[AutomatonSubject, dict[str, Any]]:
    """The model of a run with its codes, ready to be measured, and what its manifest says of it.

    Args:
        folder: where the artifacts lie; the package's own if not given.

    Raises:
        ArtifactError: it is not there, or damaged.
    """
    path = shipped_run(name) if folder is None else folder / name
    run, artifact = automaton_run(name), read_artifact(path)
    if run.is_plain:
        books, weights = DictionarySet([]), {key: tensor.float() for key, tensor in artifact.tensors().items()}
    else:
        books, weights = load_codebooks(path)
    setting, tokenizer = automaton_setting(run.paper), digit_tokenizer()
    model = automaton_model(setting.model, weights)
    ref = ModelRef(id=name, weight_hash=hash_tensors(weights), tokenizer_hash=tokenizer.hash)
    subject = AutomatonSubject(setting.automaton, wrap(model, tokenizer, ref), tuple(books.values()))
    return subject, {**artifact.manifest.details, "curve": artifact.json(CURVE)}


def _curve(metrics: list[dict[str, Any]]) -> list[dict[str, float]]:
    """At most so many points of the training loss."""
    every = -(-len(metrics) // _POINTS)
    kept = metrics[::every] + ([] if (len(metrics) - 1) % every == 0 else metrics[-1:])
    return [{key: record[key] for key in ("tokens", "cross_entropy")} for record in kept]
