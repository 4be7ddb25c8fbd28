"""Training runs as they were recorded: read while they are written, compared by settings and by curves."""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from workbench.core import ArtifactError, Result, nearest, read_artifact

METRICS, CHECKPOINTS = "metrics.jsonl", "checkpoints"
AXES = {"step": "optimiser steps", "chunk": "chunks", "tokens": "tokens", "seconds": "seconds of training, by its pace"}
KEYS = ("dictionary", "chunk", "step", "tokens", "seconds")
QUIET = 60.0
"""Seconds without a new record after which an unfinished run counts as stopped, or five chunks if that is longer."""


@dataclass
class RunLog:
    """The records of one run; `refresh` reads what was added since and nothing twice."""

    folder: Path
    records: list[dict[str, Any]] = field(default_factory=list)
    _offset: int = 0
    _rest: bytes = b""
    _seconds: dict[str, float] = field(default_factory=dict)
    _last: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.name

    def refresh(self) -> int:
        """Read new whole lines; returns how many. A file that became shorter (a resumed run) is read anew."""
        path = self.folder / METRICS
        try:
            size = path.stat().st_size
            if size < self._offset:
                self.records, self._offset, self._rest, self._seconds, self._last = [], 0, b"", {}, {}
            with open(path, "rb") as file:
                file.seek(self._offset)
                data = file.read(size - self._offset)
        except OSError as error:
            raise ArtifactError(f"cannot read {path}", found=error.strerror) from None
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        before = len(self.records)
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get("dictionary"), str):
                self.records.append({**record, "seconds": self._elapsed(record)})
        return len(self.records) - before

    def _elapsed(self, record: dict[str, Any]) -> float:
        """Training time so far: records tell their pace, not the clock."""
        name = record["dictionary"]
        old = self._last.get(name, {})
        self._last[name] = record
        spent = 0.0
        if pace := _number(record.get("tokens_per_second")):
            spent = (_number(record.get("tokens")) - _number(old.get("tokens"))) / pace
        elif pace := _number(record.get("rows_per_second")):
            rows = _number(self.config().get("batch_rows")) or 1.0
            spent = rows * (_number(record.get("step")) - _number(old.get("step"))) / pace
        self._seconds[name] = self._seconds.get(name, 0.0) + max(spent, 0.0)
        return self._seconds[name]

    @property
    def finished(self) -> bool:
        """Whether the run was sealed with a manifest."""
        return (self.folder / "manifest.json").exists()

    @property
    def live(self) -> bool:
        """Unfinished, and it wrote not long ago."""
        return not self.finished and not self._stopped()

    def _stopped(self) -> bool:
        try:
            quiet = time.time() - (self.folder / METRICS).stat().st_mtime
        except OSError:
            return True
        chunks = {record["chunk"]: record["seconds"] for record in self.records if "chunk" in record}
        pace = max(chunks.values(), default=0.0) / max(len(chunks), 1)
        return quiet > max(QUIET, 5 * pace)

    def dictionaries(self) -> list[str]:
        """What was trained, in the order of the first records."""
        return list(dict.fromkeys(record["dictionary"] for record in self.records))

    def metrics(self) -> list[str]:
        """Names of the numbers in the records."""
        found = dict.fromkeys(key for record in self.records[-400:] + self.records[:400] for key in record)
        return [key for key in found if key not in KEYS]

    def last(self) -> dict[str, dict[str, Any]]:
        """The last record of every dictionary."""
        return {record["dictionary"]: record for record in self.records}

    def config(self) -> dict[str, Any]:
        """The settings: of the manifest, else of the newest checkpoint."""
        return _flat(self._told())

    def _told(self) -> Mapping[str, Any]:
        try:
            if self.finished:
                manifest = read_artifact(self.folder).manifest
                named = {"model": manifest.model.id if manifest.model else "", "seed": manifest.seed}
                return {**named, "text": manifest.text.id if manifest.text else "", **(manifest.config or {})}
            if states := sorted((self.folder / CHECKPOINTS).glob("*/state.json")):
                identity = json.loads(states[-1].read_text(encoding="utf-8")).get("identity", {})
                return identity.get("config", identity) if isinstance(identity, dict) else {}
        except (ArtifactError, OSError, ValueError):
            pass
        return {}

    def checkpoints(self) -> list[int]:
        """The chunks at which the run can go on."""
        found = (self.folder / CHECKPOINTS).glob("*/state.json")
        return sorted(int(path.parent.name) for path in found if path.parent.name.isdigit())

    def warnings(self) -> list[str]:
        """What is wrong with it, one sentence each: no numbers, a stop, a divergence, dead features."""
        found = []
        for record in self.records:
            bad = [key for key, value in record.items() if key in ("loss", "fvu") and not _is_finite(value)]
            if bad:
                found.append(f"{record['dictionary']}: {bad[0]} is no number at chunk {record.get('chunk')}")
                break
        for name in self.dictionaries():
            losses = [float(r["loss"]) for r in self.records if r["dictionary"] == name and _is_finite(r.get("loss"))]
            if len(losses) > 4 and losses[-1] > 2 * max(min(losses), 1e-12) and losses[-1] > losses[0]:
                found.append(f"{name}: the loss rose to {losses[-1]:.3g} from {min(losses):.3g}")
                break
        dead = [record.get("dead_share") for record in self.last().values()]
        worst = max((float(share) for share in dead if _is_finite(share)), default=0.0)
        if worst > 0.5:
            found.append(f"{worst:.0%} of a dictionary's features are dead")
        if self.records and not self.finished and self._stopped():
            at = self.checkpoints()
            found.append(f"unfinished and quiet; it goes on from chunk {at[-1] if at else 0} when trained again")
        return found


def find_runs(folders: Iterable[Path]) -> list[Path]:
    """Every folder right below the given ones that holds metrics, the latest written first."""
    found = []
    for root in folders:
        if root.is_dir():
            found += [p for p in root.iterdir() if not p.name.startswith(".") and (p / METRICS).is_file()]
    return sorted(found, key=lambda path: (-(path / METRICS).stat().st_mtime, path.name))


def run_curves(
    runs: Sequence[RunLog], y: str = "loss", x: str = "step", dictionary: str | None = None, smoothing: float = 0.0
) -> Result:
    """One number along several runs (kind `training_curves`).

    Tables: `curves` (run, x, y, chunk), `checkpoints` (run, x), `settings` (setting, one column a run, differs),
    `warnings` (run, warning).

    Args:
        x: a key of `AXES`. dictionary: of one dictionary; None: the mean of all.
        smoothing: 0 to 1, weight of what was before in an exponential mean.

    Raises:
        ArtifactError: no run has that number.
    """
    rows, marks = [], []
    for run in runs:
        points = _points(run, y, x, dictionary)
        held = None
        for chunk, at, value in points:
            if _is_finite(value):
                held = value if held is None else smoothing * held + (1 - smoothing) * value
            rows.append({"run": run.name, "x": at, "y": held if _is_finite(value) else None, "chunk": chunk})
        places = {chunk: at for chunk, at, _ in points}
        marks += [{"run": run.name, "x": places[c - 1]} for c in run.checkpoints() if c - 1 in places]
    if runs and not rows:
        known = sorted({name for run in runs for name in run.metrics()})
        raise ArtifactError(f"no run has the number {y!r}", hint=nearest(y, known, "there are"))
    return Result(
        kind="training_curves",
        tables={
            "curves": rows,
            "checkpoints": marks,
            "settings": settings_table(runs),
            "warnings": [{"run": run.name, "warning": text} for run in runs for text in run.warnings()],
        },
        params={"x": x, "y": y, "dictionary": dictionary, "smoothing": smoothing, "runs": [run.name for run in runs]},
        notes=("several dictionaries: the mean over them, chunk by chunk",),
    )


def _points(run: RunLog, y: str, x: str, dictionary: str | None) -> list[tuple[int, float, float]]:
    """(chunk, x, y) in order; the mean over dictionaries."""
    cells: dict[int, list[tuple[float, float]]] = {}
    for record in run.records:
        if y in record and x in record and dictionary in (None, record["dictionary"]):
            value = float(record[y]) if _is_finite(record[y]) else math.nan
            cells.setdefault(int(record.get("chunk", 0)), []).append((_number(record[x]), value))
    return [
        (chunk, sum(at for at, _ in cell) / len(cell), sum(value for _, value in cell) / len(cell))
        for chunk, cell in sorted(cells.items())
    ]


def settings_table(runs: Sequence[RunLog]) -> list[dict[str, Any]]:
    """Every setting with its value in each run; those that differ first."""
    told = {run.name: run.config() for run in runs}
    rows = []
    for key in sorted({key for config in told.values() for key in config}):
        values = [config.get(key, "") for config in told.values()]
        rows.append(
            {
                "setting": key,
                **dict(zip(told, map(str, values), strict=True)),
                "differs": len(set(map(str, values))) > 1,
            }
        )
    return sorted(rows, key=lambda row: (not row["differs"], row["setting"]))


def run_frontier(runs: Sequence[RunLog]) -> Result:
    """L0 against what is recovered, every dictionary of every run (kind `training_frontier`, table `dictionaries`).

    `recovered` is the share of the loss recovered where it was measured in training, else 1 - FVU. `best`: no other
    dictionary here has both a smaller L0 and more recovered.
    """
    rows = []
    for run in runs:
        for name, record in run.last().items():
            l0, share = record.get("l0"), record.get("loss_recovered")
            measured = _is_finite(share)
            if not measured and _is_finite(record.get("fvu")):
                share = 1 - float(record["fvu"])
            if _is_finite(l0) and _is_finite(share):
                told = "loss recovered" if measured else "1 - FVU"
                row = {"run": run.name, "dictionary": name, "l0": float(l0), "recovered": float(share)}  # type: ignore[arg-type]
                rows.append({**row, "measure": told})
    for row in rows:
        rivals = [r for r in rows if r["measure"] == row["measure"]]
        row["best"] = not any(
            r["l0"] <= row["l0"] and r["recovered"] >= row["recovered"]
            and (r["l0"], r["recovered"]) != (row["l0"], row["recovered"])
            for r in rivals
        )  # fmt: skip
    return Result("training_frontier", tables={"dictionaries": rows}, params={"runs": [run.name for run in runs]})


def _flat(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{path}{key}.")
        else:
            found[f"{path}{key}"] = value
    return found


def _is_finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any) -> float:
    return float(value) if _is_finite(value) else 0.0
