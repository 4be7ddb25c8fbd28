"""Records of trainings: read as they grow, compared, and what is wrong with them."""

import json
import os
import time

import pytest

from workbench.core import ArtifactError
from workbench.training import RunLog, find_runs, run_curves, run_frontier, settings_table


def write(folder, chunks, start=0, names=("a", "b"), **more) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "metrics.jsonl", "a") as file:
        for chunk in range(start, start + chunks):
            for name in names:
                record = {"dictionary": name, "chunk": chunk, "step": 10 * (chunk + 1), "loss": 1 / (chunk + 1)}
                record |= {"rows_per_second": 100.0, "l0": 32.0, "fvu": 0.2, **more}
                file.write(json.dumps(record) + "\n")


def checkpoint(folder, chunk, **config) -> None:
    path = folder / "checkpoints" / f"{chunk:08d}"
    path.mkdir(parents=True)
    (path / "state.json").write_text(json.dumps({"identity": {"config": config}}))


def test_only_what_is_new_is_read_and_a_torn_line_waits(tmp_path):
    write(tmp_path / "x", 2)
    run = RunLog(tmp_path / "x")
    assert run.refresh() == 4
    assert run.refresh() == 0
    with open(tmp_path / "x" / "metrics.jsonl", "a") as file:
        file.write('{"dictionary": "a", "chunk": 2, ')
    assert run.refresh() == 0
    with open(tmp_path / "x" / "metrics.jsonl", "a") as file:
        file.write('"step": 30, "loss": 0.1}\nnot json\n[1]\n')
    assert run.refresh() == 1
    assert run.records[-1]["chunk"] == 2
    (tmp_path / "x" / "metrics.jsonl").unlink()
    write(tmp_path / "x", 1)
    run.refresh()
    assert len(run.records) == 2


def test_curves_are_means_over_dictionaries_with_checkpoints_and_time(tmp_path):
    write(tmp_path / "x", 3)
    checkpoint(tmp_path / "x", 2, lr=0.1, batch_rows=50)
    run = RunLog(tmp_path / "x")
    run.refresh()
    result = run_curves([run], "loss", "step")
    assert [row["y"] for row in result.tables["curves"]] == pytest.approx([1, 1 / 2, 1 / 3])
    assert result.tables["checkpoints"] == [{"run": "x", "x": 20.0}]
    seconds = [row["x"] for row in run_curves([run], "loss", "seconds").tables["curves"]]
    assert seconds == pytest.approx([5.0, 10.0, 15.0])
    smooth = [row["y"] for row in run_curves([run], "loss", "step", "a", smoothing=0.5).tables["curves"]]
    assert smooth == pytest.approx([1, 0.75, 0.75 / 2 + 1 / 6])
    assert result.fig() is not None
    with pytest.raises(ArtifactError, match="no run has"):
        run_curves([run], "nothing")


def test_settings_that_differ_come_first(tmp_path):
    for name, lr in (("x", 0.1), ("y", 0.2)):
        write(tmp_path / name, 1)
        checkpoint(tmp_path / name, 1, lr=lr, seed=0, betas=[0.9, 0.99])
    runs = [RunLog(path) for path in find_runs([tmp_path])]
    rows = settings_table(runs)
    assert rows[0]["setting"] == "lr"
    assert [row["differs"] for row in rows] == [True, False, False]


def test_no_numbers_stops_rises_and_dead_features_are_told(tmp_path):
    write(tmp_path / "x", 3, loss=float("nan"))
    write(tmp_path / "y", 6, dead_share=0.9)
    write(tmp_path / "y", 1, start=6, loss=50.0, dead_share=0.9)
    old = time.time() - 3600
    os.utime(tmp_path / "y" / "metrics.jsonl", (old, old))
    told = {}
    for path in find_runs([tmp_path]):
        run = RunLog(path)
        run.refresh()
        told[run.name] = " | ".join(run.warnings())
    assert "no number" in told["x"]
    assert "quiet" not in told["x"]
    assert "rose" in told["y"]
    assert "dead" in told["y"]
    assert "quiet" in told["y"]


def test_the_frontier_is_what_nothing_beats(tmp_path):
    for name, l0, fvu in (("x", 10.0, 0.5), ("y", 20.0, 0.4), ("z", 30.0, 0.45)):
        write(tmp_path / name, 1, names=("a",), l0=l0, fvu=fvu)
    runs = [RunLog(path) for path in find_runs([tmp_path])]
    for run in runs:
        run.refresh()
    result = run_frontier(runs)
    assert {row["run"] for row in result.tables["dictionaries"] if row["best"]} == {"x", "y"}
    assert result.fig() is not None
