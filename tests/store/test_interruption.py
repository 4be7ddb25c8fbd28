"""SIGKILL at random moments, and memory that does not grow: captures in forked processes."""

import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from workbench.models import HookedModel
from workbench.store import CaptureConfig, capture, open_store

from .small_model import SITES, SmallModel, packed
from .test_capturing import contents

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads peak memory from /proc")
# Fixed small shards: a short and a long text use the very same buffers.
CONFIG = CaptureConfig(dtype="float32", batch_sequences=32, shard_sequences=64)


class Capture:
    """A capture in a child of this process."""

    def __init__(self, folder: Path, build: Callable[[], HookedModel], sites, sequences: int, length: int) -> None:
        context = multiprocessing.get_context("fork")
        self.folder, self.build, self.sites, self.size = folder, build, sites, (sequences, length)
        self.receiver, self.sender = context.Pipe(duplex=False)
        self.process = context.Process(target=self.work)
        self.process.start()
        assert self.receiver.poll(60)
        assert self.receiver.recv() == "ready"

    def work(self) -> None:
        torch.set_num_threads(1)
        sequences, length = self.size
        text, model = packed(sequences, longest=length, shortest=max(2, length - 10)), self.build()
        self.sender.send("ready")
        capture(model, text, self.sites, self.folder, CONFIG)
        self.sender.send(peak_memory())

    def finish(self) -> int:
        """Wait for the end; peak memory in bytes."""
        self.process.join()
        assert self.process.exitcode == 0
        return self.receiver.recv()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        assert self.process.exitcode == -9


def peak_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def test_killed_three_times_and_resumed_gives_the_same_bytes(tmp_path):
    def begin(name: str) -> Capture:
        return Capture(tmp_path / name, lambda: SmallModel(delay=0.01), SITES, 2500, 12)

    begun, moments = time.perf_counter(), random.Random()
    begin("whole").finish()
    seconds = time.perf_counter() - begun
    shards = []
    for _ in range(3):
        process = begin("killed")
        time.sleep(moments.uniform(0.08, 0.22) * seconds)
        process.kill()
        shards.append(len(list((tmp_path / "killed").glob("shard-*"))))
    print(f"shards on disk after each kill: {shards} of 40")
    if shards[-1]:
        assert open_store(tmp_path / "killed", verify=True).partial
    begin("killed").finish()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def growth(tmp_path: Path, build: Callable[[], HookedModel], sites, sequences: int, length: int) -> int:
    """Peak memory of a capture of ten times the sequences, minus that of the capture."""
    peaks = [Capture(tmp_path / str(n), build, sites, n, length).finish() for n in (sequences, 10 * sequences)]
    print(f"peak {peaks[0] / 1e6:.1f} MB at {sequences:,} sequences of {length}, {peaks[1] / 1e6:.1f} MB at ten times")
    return peaks[1] - peaks[0]


def test_memory_is_flat(tmp_path):
    assert growth(tmp_path, SmallModel, SITES, 300, 64) < 20e6


@pytest.mark.slow
def test_memory_is_flat_at_two_million_tokens(tmp_path):
    from models.families import build_hooked

    assert growth(tmp_path, lambda: build_hooked("llama")[0], ["mlp_in.0", "mlp_out.0"], 3400, 64) < 100e6
