"""The timing harness: turns, ratios, floors and memory. No test asserts a time that a machine must reach."""

import statistics

import pytest
import torch

from sparse_kernels import memory, speed
from sparse_kernels.speed import Case, Spread, Timing


def _timing(name: str, *seconds: float) -> Timing:
    return Timing(Case(name, lambda: None, floor_flops=4e9), seconds, 1, 1 << 20)


def test_every_case_has_its_turn_in_every_round():
    seen: list[str] = []
    cases = [Case(name, lambda name=name: seen.append(name), prepare=lambda: None) for name in "abc"]
    timings = speed.measure(cases, rounds=4, memory=False)
    turns = seen[6:]  # each warms up twice
    assert [sorted(turns[at : at + 3]) for at in range(0, 12, 3)] == [["a", "b", "c"]] * 4
    assert len({tuple(turns[at : at + 3]) for at in range(0, 12, 3)}) > 1, "the order changes"
    assert [len(timing.seconds) for timing in timings.values()] == [4, 4, 4]


def test_short_calls_are_repeated_within_a_timing_and_prepared_ones_are_not():
    made: list[str] = []
    short = Case("short", lambda: made.append("short"))
    prepared = Case("prepared", lambda: made.append("call"), prepare=lambda: made.append("prepare"))
    timings = speed.measure([short, prepared], rounds=3, memory=False)
    assert 1 < timings["short"].calls <= speed.MOST_CALLS
    assert timings["prepared"].calls == 1
    turns = [word for word in made if word != "short"]
    assert turns == ["prepare", "call"] * (len(turns) // 2)


def test_a_ratio_is_the_median_of_the_rounds_own_ratios():
    own, base = _timing("own", 2.0, 30.0, 6.0), _timing("base", 1.0, 10.0, 2.0)
    assert speed.ratio(own, base).median == 3.0
    rows = speed.rows({"own": own, "base": base}, floor="base", plain="own")
    assert [row["ratio_floor"] for row in rows] == [3.0, 1.0]
    assert [row["ratio_plain"] for row in rows] == [1.0, statistics.median([1 / 2, 1 / 3, 1 / 3])]
    assert [row["ms"] for row in rows] == [6000.0, 2000.0]
    assert rows[1]["gflops"] == 2.0
    assert rows[0]["transient_mb"] == (1 << 20) / 1e6


def test_a_floor_with_its_quartiles_apart_is_too_noisy_to_tell():
    calm, wild = _timing("calm", 1.0, 1.01, 1.02, 1.03), _timing("wild", 1.0, 1.1, 2.0, 3.0)
    assert not Spread.of(calm.seconds).noisy
    assert Spread.of(wild.seconds).noisy
    for floor, noisy in (("calm", False), ("wild", True)):
        rows = speed.rows({"calm": calm, "wild": wild}, floor=floor)
        assert [row["noisy"] for row in rows] == [noisy] * 2
    assert Spread.of([5.0]) == Spread(5.0, 5.0, 5.0)


def test_a_measurement_can_be_stopped_after_a_round():
    told: list[int] = []

    def advance() -> bool:
        told.append(1)
        return len(told) == 2

    timings = speed.measure([Case("one", lambda: None)], rounds=9, memory=False, advance=advance)
    assert len(timings["one"].seconds) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_floors_of_a_product_compute_that_product(dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(*s, generator=generator).to(dtype) for s in ((40, 24), (70, 24), (70,)))
    wanted = x.double() @ weight.double().T + bias.double()
    cases = speed.product_cases(x, weight, bias)
    assert cases[0].name == speed.BARE
    for case in cases:
        found = case.call()
        assert isinstance(found, torch.Tensor)
        torch.testing.assert_close(found.double(), wanted, rtol=3e-2, atol=1e-1)
        assert case.floor_flops == 2 * 40 * 70 * 24
    exact = cases[0].call()
    assert isinstance(exact, torch.Tensor)
    assert exact.dtype == dtype


@pytest.mark.parametrize("moved", [2, 1000, 2 * speed.COPIED_AT_ONCE + 70])
def test_a_copy_moves_as_many_bytes_as_asked(moved: int, monkeypatch: pytest.MonkeyPatch):
    copied: list[int] = []
    original = torch.Tensor.copy_
    monkeypatch.setattr(torch.Tensor, "copy_", lambda a, b: copied.append(2 * b.numel()) or original(a, b))
    speed.copy_case(moved).call()
    assert sum(copied) == moved


@pytest.mark.skipif(not memory._reset_peak(), reason="this system does not tell a process's peak")
def test_transient_memory_sees_torch_and_the_result():
    size = 40 << 20
    through = memory.transient_bytes(lambda: torch.zeros(size, dtype=torch.uint8).amax())
    result = memory.transient_bytes(lambda: torch.zeros(size, dtype=torch.uint8))
    nothing = memory.transient_bytes(lambda: None)
    assert nothing is not None
    assert nothing < 4 << 20
    for found in (through, result):
        assert found is not None
        assert 0.9 * size < found < 1.3 * size


def test_where_the_system_does_not_tell_memory_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(memory, "_RESET", tmp_path / "none" / "clear_refs")
    assert memory.transient_bytes(lambda: None) is None
