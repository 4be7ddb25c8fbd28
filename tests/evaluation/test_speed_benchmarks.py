"""Benchmarks: what their Results hold, how they stop, and that every registered operation can be measured."""

import re

import pytest
import torch

from sparse_kernels import speed
from workbench.core import ConfigError, Interrupted, Result, Silent, names
from workbench.evaluation import KernelBenchConfig, bench_kernels
from workbench.evaluation.speed.comparison import Comparison, Operands, compare, device_of, threads

SMALL = KernelBenchConfig(
    rows=(5,), features=(40,), width=6, k=3, memory_features=0, codes=30, mlp_width=6, neurons=12, rounds=2
)
COLUMNS = {
    *("operation", "shape", "dtype", "case", "backend", "ms", "ms_low", "ms_high", "floor", "ratio_floor"),
    *("ratio_floor_low", "ratio_floor_high", "ratio_plain", "transient_mb", "gflops", "gb_per_s", "rounds", "noisy"),
}


class Stopping(Silent):
    """A Progress that asks to stop after some rounds."""

    def __init__(self, after: int) -> None:
        self.left, self.phases = after, []

    def phase(self, name: str, total: float | None = None, unit: str = "") -> None:
        self.phases.append(name)

    def advance(self, amount: float = 1) -> None:
        self.left -= 1

    def cancelled(self) -> bool:
        return self.left <= 0


def _comparison(name: str, rounds: int | None = None) -> Comparison:
    cases = (speed.Case("floor", lambda: None), speed.Case("own", lambda: None))
    return Comparison(name, "1 x 1", "float32", cases, "floor", "own", rounds)


def test_every_operation_compares_ways_that_run_with_its_floor():
    result = bench_kernels(SMALL)
    operations = {re.split(" \\+ |, ", row["operation"])[0] for row in result.tables["kernels"]}
    assert operations == set(names("kernel benchmark"))
    for row in result.tables["kernels"]:
        assert set(row) == COLUMNS
        assert row["ms_low"] <= row["ms"] <= row["ms_high"]
        assert row["ratio_floor"] > 0
        assert row["rounds"] == 2
        assert (row["case"] == row["floor"]) <= (row["ratio_floor"] == 1.0)


def test_the_result_says_what_its_times_depend_on():
    result = bench_kernels(SMALL.model_copy(update={"operations": ("decode",), "threads": 1}))
    assert isinstance(result, Result)
    assert (result.kind, result.seed, result.partial) == ("benchmark", 0, False)
    assert result.params["threads_used"] == 1
    assert result.params["processor"]
    assert {"torch", "numba"} <= set(result.params["versions"])
    assert any("_linear_pointwise" in note for note in result.notes)
    assert Result(**result.to_json() | {"notes": result.notes}).df("kernels").shape[0] == len(result.df())


def test_what_is_done_is_kept_when_it_is_stopped():
    progress = Stopping(after=3)
    result = compare("some", (_comparison(name) for name in "abc"), SMALL, progress)
    assert result.partial
    assert [row["operation"] for row in result.tables["some"]] == ["a", "a", "b", "b"]
    assert [row["rounds"] for row in result.tables["some"]] == [2, 2, 1, 1]
    assert progress.phases == ["a, 1 x 1, float32", "b, 1 x 1, float32"]


def test_stopped_before_anything_was_measured():
    with pytest.raises(Interrupted, match="before anything was measured"):
        compare("some", [_comparison("a")], SMALL, Stopping(after=0))


def test_a_comparison_may_ask_for_fewer_rounds_but_not_for_more():
    result = compare("some", (_comparison("few", 1), _comparison("many", 99)), SMALL, Silent())
    assert [row["rounds"] for row in result.tables["some"]] == [1, 1, 2, 2]


def test_noise_is_said_in_the_notes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(speed, "NOISY", 0.0)
    result = compare("some", [_comparison("a")], SMALL, Silent())
    assert all(row["noisy"] for row in result.tables["some"])
    assert any(note.startswith("Too noisy to tell") and "a 1 x 1" in note for note in result.notes)


def test_quick_shrinks_what_was_not_set_by_hand():
    quick = KernelBenchConfig(quick=True, features=(33,)).reduced()
    assert (quick.features, quick.rows, quick.rounds) == ((33,), (256,), 3)
    assert KernelBenchConfig().reduced().rows == (1024, 4096)


def test_threads_are_set_and_given_back():
    before = torch.get_num_threads()
    with threads(KernelBenchConfig(threads=before + 1)):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_the_same_seed_draws_the_same_operands():
    def draw(seed: int) -> list[float]:
        operands = Operands(seed, torch.device("cpu"))
        return [*operands.normal(3).tolist(), *operands.uniform(2).tolist(), *operands.index(4, below=9).tolist()]

    assert draw(1) == draw(1) != draw(2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operations": ("encode_topq",)}, "unknown operation 'encode_topq'.*did you mean encode_topk"),
        ({"device": "tpu"}, "wanted the device auto, cpu or cuda; found 'tpu'"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(change: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        bench_kernels(SMALL.model_copy(update=change))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="wanted the device cuda"):
        device_of(KernelBenchConfig(device="cuda"))
