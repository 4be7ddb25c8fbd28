"""fit: from new dictionaries and rows to a trained set on disk, with its untrained twin beside it."""

import copy
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.core import ArtifactError, ConfigError, Manifest, Progress, Silent
from workbench.dictionaries import Dictionary, DictionarySet, load_dictionaries
from workbench.store import Rows

from .checkpoint import Checkpoint, latest_checkpoint, restore, save_checkpoint, stored_feeds
from .config import TrainConfig
from .feed import Feed
from .kept import KeptRows
from .learner import Learner
from .loop import train
from .memory import check_memory, room_to_keep
from .metrics import MetricsLog
from .pace import Pace
from .prepare import prepare
from .schedule import steps_in_chunk

log = logging.getLogger(__name__)

Probe = Callable[[Dictionary], dict[str, float]]
"""What a dictionary on raw activations is measured by at intervals; its numbers go into the metrics."""

INITIAL, AFFINE, METRICS = "initial", "affine", "metrics.jsonl"


@dataclass(frozen=True)
class Trained:
    """What `fit` returns.

    Attributes:
        dictionaries: the trained set, on raw activations.
        initial: the same before the first step: features from data on the same affine path (a control).
        affine: the affine maps alone, of the members that write another Site than they read (a control).
        metrics: the last record of every dictionary.
        partial: cancelled; the checkpoint in `folder` lets the same call go on.
    """

    dictionaries: DictionarySet
    initial: DictionarySet
    affine: DictionarySet
    folder: Path
    metrics: list[dict[str, Any]]
    partial: bool = False


def fit(
    dictionaries: DictionarySet,
    rows: Rows,
    folder: Path,
    config: TrainConfig | None = None,
    progress: Progress | None = None,
    probe: Probe | None = None,
) -> Trained:
    """Train every dictionary of a set in one pass over the rows, in place, and write the set to `folder`.

    A folder that holds a checkpoint of the same run is gone on with; a finished one is opened and returned.
    The folder then holds the set, `initial/`, `affine/` and `metrics.jsonl`. With
    `probe_every_chunks`, `probe` is called that often and at the end, on a copy of each dictionary in raw units.

    Raises:
        ConfigError: the rows lack a Site, the folder belongs to another run, or memory is too small.
        TrainingError: a dictionary diverged; the last checkpoint is kept.
        ArtifactError: something cannot be written or read; what was there is kept.
    """
    folder, config, progress = Path(folder), config or TrainConfig(), progress or Silent()
    _check_sites(dictionaries, rows)
    identity = _identity(dictionaries, rows, config)
    if (folder / "manifest.json").exists():
        return _finished(folder, identity)
    checkpoint = latest_checkpoint(folder)
    check_memory(dictionaries, rows)
    if checkpoint is None:
        rows = KeptRows(rows, room_to_keep(dictionaries))
        feeds = _begin(dictionaries, rows, folder, config, progress)
    else:
        _check_same(checkpoint.state["identity"], identity, folder)
        feeds = stored_feeds(checkpoint)
    total = _planned_steps(rows, config)
    learners = [
        Learner(name, module, feed, config, total)
        for (name, module), feed in zip(dictionaries.items(), feeds, strict=True)
    ]
    return _run(dictionaries, learners, rows, folder, config, identity, checkpoint, progress, probe)


def _run(
    dictionaries: DictionarySet,
    learners: list[Learner],
    rows: Rows,
    folder: Path,
    config: TrainConfig,
    identity: dict[str, Any],
    checkpoint: Checkpoint | None,
    progress: Progress,
    probe: Probe | None,
) -> Trained:
    metrics = MetricsLog(folder / METRICS)
    start = 0
    if checkpoint is not None:
        restore(checkpoint, learners)
        start = checkpoint.next_chunk
        log.info("going on at chunk %d of %d", start, rows.n_chunks)
    metrics.rewind(start)
    pace = Pace(config.checkpoint_every_chunks, config.checkpoint_share, start)

    def at_border(next_chunk: int, records: list[dict[str, Any]]) -> None:
        last = all(learner.finished for learner in learners) or next_chunk == rows.n_chunks
        every = config.probe_every_chunks
        if probe is not None and every is not None and (last or next_chunk % every == 0):
            _probe(dictionaries, learners, records, probe)
        metrics.append(records)
        progress.partial(records)
        if pace.due(next_chunk):
            with pace.writing(next_chunk):
                save_checkpoint(folder, next_chunk, learners, identity)

    reached, partial = train(learners, rows, start, at_border, progress)
    if partial and reached > pace.written:
        save_checkpoint(folder, reached, learners, identity)
    manifest = _manifest(rows, config, identity, learners, partial)
    trained = _in_raw_units(dictionaries.copy() if partial else dictionaries, [learner.feed for learner in learners])
    trained.manifest = manifest
    if not partial:
        _seal(trained, folder, manifest)
    initial, affine = load_dictionaries(folder / INITIAL), load_dictionaries(folder / AFFINE)
    return Trained(trained, initial, affine, folder, metrics.last(), partial)


@torch.no_grad()
def _probe(dictionaries: DictionarySet, learners: list[Learner], records: list[dict[str, Any]], probe: Probe) -> None:
    for (name, dictionary), learner, record in zip(dictionaries.items(), learners, records, strict=True):
        raw = copy.deepcopy(dictionary)
        raw.rescale_(learner.feed.scales)
        log.info("measuring %s", name)
        record |= probe(raw)


def _begin(
    dictionaries: DictionarySet, rows: KeptRows, folder: Path, config: TrainConfig, progress: Progress
) -> list[Feed]:
    feeds, affine = prepare(dictionaries, rows, config, progress)
    initial = _in_raw_units(dictionaries.copy(), feeds)
    initial.name = f"{dictionaries.name} (untrained)"
    manifest = Manifest(kind="dictionary set", seed=config.seed, config=config.model_dump(mode="json"), **rows.ref)
    initial.save(folder / INITIAL, manifest)
    affine.save(folder / AFFINE, manifest)
    return feeds


def _in_raw_units(dictionaries: DictionarySet, feeds: list[Feed]) -> DictionarySet:
    for dictionary, feed in zip(dictionaries.values(), feeds, strict=True):
        dictionary.rescale_(feed.scales)
    return dictionaries


def _seal(trained: DictionarySet, folder: Path, manifest: Manifest) -> None:
    """Replace the working folder by the finished artifact, with the controls and the record in it."""

    def fill(staging: Path) -> None:
        for name in (INITIAL, AFFINE):
            shutil.copytree(folder / name, staging / name)
        shutil.copy2(folder / METRICS, staging / METRICS)

    trained.save(folder, manifest, fill)


def _manifest(
    rows: Rows, config: TrainConfig, identity: dict[str, Any], learners: list[Learner], partial: bool
) -> Manifest:
    details = {
        "run": identity,
        "steps": max((learner.step for learner in learners), default=0),
        "dropped_share": {learner.name: learner.dropped_share for learner in learners},
        "outlier_limits": {
            learner.name: {str(site): limit for site, limit in learner.feed.limits.items()} for learner in learners
        },
    }
    values = config.model_dump(mode="json")
    return Manifest(
        kind="dictionary set", seed=config.seed, config=values, details=details, partial=partial, **rows.ref
    )


def _finished(folder: Path, identity: dict[str, Any]) -> Trained:
    trained = load_dictionaries(folder)
    run = trained.manifest.details.get("run") if trained.manifest else None
    if run is None:
        raise ArtifactError(f"{folder} holds a set that was not trained here", hint="name another folder")
    _check_same(run, identity, folder)
    initial, affine = load_dictionaries(folder / INITIAL), load_dictionaries(folder / AFFINE)
    return Trained(trained, initial, affine, folder, MetricsLog(folder / METRICS).last())


def _identity(dictionaries: DictionarySet, rows: Rows, config: TrainConfig) -> dict[str, Any]:
    """JSON of everything that decides the outcome: equal identities train equal weights."""
    settings = config.model_dump(
        mode="json", exclude={"checkpoint_every_chunks", "checkpoint_share", "probe_every_chunks"}
    )
    members = [
        [dictionary.family, name, dictionary.config.model_dump(mode="json"), str(dictionary.dtype)]
        for name, dictionary in dictionaries.items()
    ]
    return json.loads(json.dumps({"settings": settings, "rows": rows.identity, "dictionaries": members}))


def _check_same(found: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    different = [key for key in wanted if found.get(key) != wanted[key]]
    if different:
        raise ConfigError(
            f"{folder} belongs to another run",
            found=f"its {' and '.join(different)} differ",
            hint="name another folder, or remove this one",
        )


def _check_sites(dictionaries: DictionarySet, rows: Rows) -> None:
    wanted = {site for dictionary in dictionaries.values() for site in dictionary.sizes}
    missing = sorted(wanted - set(rows.sites))
    if missing or not dictionaries:
        raise ConfigError(
            "training needs rows at every site that a dictionary reads or writes",
            found=f"missing {', '.join(map(str, missing))}" if missing else "no dictionary was given",
            hint="capture these sites too",
        )


def _planned_steps(rows: Rows, config: TrainConfig) -> int:
    per_chunk = steps_in_chunk(rows.total_rows / max(rows.n_chunks, 1), config.batch_rows)
    available = rows.n_chunks * per_chunk * config.replays
    if config.steps is not None and config.steps > available:
        log.warning("the rows give %d steps, fewer than the %d asked for", available, config.steps)
    return min(config.steps or available, available)
