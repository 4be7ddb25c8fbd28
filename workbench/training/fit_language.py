"""fit_language: a language model, dictionaries in it, or both, from a source of tokens; resumable, with a record."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from workbench.core import ConfigError, Progress, Silent
from workbench.store import Rows

from .checkpoint import Resumes, latest_checkpoint, restore, save_checkpoint
from .language import LanguageLearner, LanguageModule
from .language_config import LanguageConfig
from .loop import Learns, train
from .metrics import MetricsLog
from .schedule import steps_in_chunk

log = logging.getLogger(__name__)

LanguageProbe = Callable[[LanguageModule], dict[str, float]]
"""What a module is measured by at intervals; its numbers go into the metrics."""

METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class TrainedLanguage:
    """What `fit_language` returns.

    Attributes:
        module: the trained module; `module.weights()` is what `run(weights=)` takes, its codecs are trained in place.
        metrics: the record of every chunk.
        partial: cut short; the checkpoint in `folder` lets the same call go on.
    """

    module: LanguageModule
    folder: Path
    metrics: list[dict[str, Any]]
    partial: bool = False

    @property
    def weights(self) -> dict[str, Tensor]:
        """The model's weights by canonical name, detached; empty where only codes trained on the model's own."""
        return {name: weight.detach() for name, weight in self.module.weights().items()}


def fit_language(
    module: LanguageModule,
    rows: Rows,
    folder: Path,
    config: LanguageConfig | None = None,
    progress: Progress | None = None,
    probe: LanguageProbe | None = None,
    name: str = "language model",
) -> TrainedLanguage:
    """Train a module on token rows (`TokenRows`, `StreamRows`), in place.

    The folder holds `metrics.jsonl` and the last checkpoint. If it has one of the same run, training goes on from
    there exactly as if it had never stopped; where that run was finished, nothing is trained.

    Raises:
        ConfigError: the folder belongs to another run.
        TrainingError: the loss is no number; the last checkpoint is kept.
        ArtifactError: something cannot be written or read.
    """
    config = config or LanguageConfig()
    identity = _identity(module, rows, config)
    learner = LanguageLearner(name, module, config, planned_steps(rows, config))
    every = config.probe_every_chunks

    def look(next_chunk: int, last: bool) -> dict[str, Any]:
        if probe is None or every is None or not (last or next_chunk % every == 0):
            return {}
        with torch.no_grad():
            return probe(module)

    metrics, partial = fit_tokens(learner, rows, Path(folder), identity, config.checkpoint_every_chunks, progress, look)
    return TrainedLanguage(module, Path(folder), metrics, partial)


class LearnsTokens(Learns, Resumes, Protocol):
    """A learner of token rows that checkpoints can hold."""


def fit_tokens(
    learner: LearnsTokens,
    rows: Rows,
    folder: Path,
    identity: dict[str, Any],
    checkpoint_every_chunks: int = 10,
    progress: Progress | None = None,
    look: Callable[[int, bool], dict[str, Any]] = lambda next_chunk, last: {},
) -> tuple[list[dict[str, Any]], bool]:
    """Train any learner of token rows, or go on where its folder's checkpoint stands.

    Args:
        identity: JSON of everything that decides the outcome; a folder with another one is refused.
        look: (next chunk, whether it is the last) -> numbers that go into the record of the chunk just done.

    Returns:
        The record of every chunk, and whether the run was cut short.

    Raises:
        ConfigError: the folder belongs to another run. ArtifactError: something cannot be written or read.
    """
    progress = progress or Silent()
    metrics, start, checkpoint = MetricsLog(folder / METRICS), 0, latest_checkpoint(folder)
    if checkpoint is not None:
        _check_same(checkpoint.state["identity"], identity, folder)
        restore(checkpoint, [learner])
        start = checkpoint.next_chunk
        log.info("going on at chunk %d of %d", start, rows.n_chunks)
    metrics.rewind(start)
    written = start

    def at_border(next_chunk: int, records: list[dict[str, Any]]) -> None:
        nonlocal written
        last = learner.finished or next_chunk == rows.n_chunks
        records[0] |= look(next_chunk, last)
        metrics.append(records)
        progress.partial(records)
        if last or next_chunk - written >= checkpoint_every_chunks:
            save_checkpoint(folder, next_chunk, [learner], identity)
            written = next_chunk

    reached, partial = train([learner], rows, start, at_border, progress)
    if partial and reached > written:
        save_checkpoint(folder, reached, [learner], identity)
    return metrics.read(), partial


def planned_steps(rows: Rows, config: LanguageConfig) -> int:
    """Steps that the rows give, or fewer if the settings say so."""
    per_chunk = steps_in_chunk(rows.total_rows / max(rows.n_chunks, 1), config.batch_sequences)
    available = rows.n_chunks * per_chunk
    return min(config.steps or available, available)


def _identity(module: LanguageModule, rows: Rows, config: LanguageConfig) -> dict[str, Any]:
    """JSON of everything that decides the outcome: equal identities train equal weights."""
    settings = config.model_dump(mode="json", exclude={"checkpoint_every_chunks", "probe_every_chunks"})
    codecs = [
        [codec.family, codec.name, codec.config.model_dump(mode="json"), str(codec.dtype)]
        for codec in module.dictionaries()
    ]
    found = {
        "settings": settings,
        "rows": rows.identity,
        "model": module.model.ref.model_dump(mode="json"),
        "start": module.start_hash,
        "codecs": codecs,
    }
    return json.loads(json.dumps(found))


def _check_same(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    different = [key for key in wanted if found.get(key) != wanted[key]]
    if different:
        raise ConfigError(
            f"{folder} belongs to another run",
            found=f"its {' and '.join(different)} differ",
            hint="name another folder, or remove this one",
        )
