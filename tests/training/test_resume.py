"""Training killed with SIGKILL at any moment and started again ends in the same weights, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from workbench.core import ArtifactError
from workbench.dictionaries import load_dictionaries
from workbench.training.checkpoint import FOLDER, STATE, latest_checkpoint

RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from training.planted_rows import planted_rows
from workbench.dictionaries import CoderConfig, dictionaries_for_layers
from workbench.training import TrainConfig, fit
made = dictionaries_for_layers("topk-skip-transcoder", range(2), 16, CoderConfig(d_sae=64, k=4), "demo")
rows = planted_rows(rows=3000, passes=20)
often = {"checkpoint_every_chunks": 2, "checkpoint_share": None}
fit(made, rows, Path(sys.argv[1]), TrainConfig(batch_rows=64, initial_rows=1500, **often))
"""


def start(folder: Path) -> subprocess.Popen:
    tests = str(Path(__file__).parent.parent)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", RUN, str(folder), tests], env=environment)


def wait_for_checkpoint(folder: Path, process: subprocess.Popen, newer_than: str) -> str:
    """Until a checkpoint beyond `newer_than` is complete; its name."""
    for _ in range(6000):
        complete = sorted(path.parent.name for path in (folder / FOLDER).glob(f"*/{STATE}"))
        if complete and complete[-1] > newer_than:
            return complete[-1]
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    raise AssertionError("no checkpoint")


def test_killed_three_times(tmp_path):
    assert start(tmp_path / "whole").wait(timeout=240) == 0
    folder, reached, draw = tmp_path / "killed", "", random.Random(0)
    for _ in range(3):
        process = start(folder)
        reached = wait_for_checkpoint(folder, process, reached)
        time.sleep(draw.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
        assert not (folder / "manifest.json").exists()
    assert start(folder).wait(timeout=240) == 0
    whole, killed = load_dictionaries(tmp_path / "whole"), load_dictionaries(folder)
    for first, second in zip(whole.values(), killed.values(), strict=True):
        for name, tensor in first.state_dict().items():
            assert torch.equal(tensor, second.state_dict()[name]), name
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len((tmp_path / "whole" / "metrics.jsonl").read_text().splitlines())


def test_an_unfinished_checkpoint_is_not_one(tmp_path):
    unfinished = tmp_path / FOLDER / "00000009"
    unfinished.mkdir(parents=True)
    (unfinished / "0000.safetensors").write_bytes(b"half")
    assert latest_checkpoint(tmp_path) is None


def test_a_damaged_checkpoint_is_named(tmp_path):
    damaged = tmp_path / FOLDER / "00000009"
    damaged.mkdir(parents=True)
    (damaged / STATE).write_text("{")
    with pytest.raises(ArtifactError, match="cannot read the checkpoint .*00000009"):
        latest_checkpoint(tmp_path)
