"""Timing harness: cases in, rows out. Warm-up, interleaved rounds, medians of per-round ratios, transient memory.

An absolute time is not stable from run to run; the ratio of two cases that take turns is. Every round calls every
case once, in an order of its own, and a ratio is the median over the rounds of the two times of one round.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparse_kernels.cpu.product import linear_packed, pack
from sparse_kernels.memory import transient_bytes

NOISY = 1.25
"""Upper over lower quartile of the base's times from which the machine was too noisy to tell."""
SHORTEST = 2e-3
"""Seconds that one timing lasts at least: shorter calls are repeated within it."""
MOST_CALLS = 1000
COPIED_AT_ONCE = 128 << 20
"""Bytes of the buffer whose copy stands for memory bandwidth; more than a cache holds, little enough to keep."""

BARE = "bare product"
BARE_BFLOAT16 = "bare product, bfloat16"
TORCH = "F.linear"
COPY = "copy of the bytes"


@dataclass(frozen=True)
class Case:
    """One way to do a piece of work.

    Attributes:
        name: unique within a measurement.
        call: does the work once; what it returns is dropped.
        backend: reference, cpu, triton, or what else does the work.
        floor_flops, floor_bytes: what the work cannot do without; they give the rates of the row.
        prepare: runs before each timing, outside it (cases with one are called once a timing).
    """

    name: str
    call: Callable[[], object]
    backend: str = "torch"
    floor_flops: float | None = None
    floor_bytes: float | None = None
    prepare: Callable[[], object] | None = None


@dataclass(frozen=True)
class Timing:
    """What was measured of a case: seconds a call in each round, and the memory one call held at its peak."""

    case: Case
    seconds: tuple[float, ...]
    calls: int
    transient: int | None

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Spread:
    """Median and quartiles over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)

    @property
    def noisy(self) -> bool:
        """Quartiles so far apart that a comparison says little."""
        return self.high > NOISY * self.low


def measure(
    cases: Sequence[Case],
    *,
    rounds: int = 9,
    device: torch.device | str = "cpu",
    memory: bool = True,
    advance: Callable[[], bool] | None = None,
) -> dict[str, Timing]:
    """Time every case once a round, after a warm-up; the transient memory in one further call each.

    `advance` is told of every finished round and stops the measurement after it by returning True.
    """
    device = torch.device(device)
    names = [case.name for case in cases]
    assert len(set(names)) == len(names), f"two cases of one name: {names}"
    calls = {case.name: _calls(case, device) for case in cases}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for case in random.Random(turn).sample(list(cases), len(cases)):
            seconds[case.name].append(_time(case, calls[case.name], device))
        if advance is not None and advance():
            break
    held = {case.name: _transient(case, device) if memory else None for case in cases}
    return {case.name: Timing(case, tuple(seconds[case.name]), calls[case.name], held[case.name]) for case in cases}


def ratio(timing: Timing, base: Timing) -> Spread:
    """Own time over the base's, round by round."""
    return Spread.of([own / other for own, other in zip(timing.seconds, base.seconds, strict=True)])


def rows(timings: dict[str, Timing], *, floor: str, plain: str | None = None) -> list[dict[str, Any]]:
    """One record a case: milliseconds, ratio to the case named `floor` and to the one named `plain`, memory, rates.

    `noisy` marks every row of a measurement whose floor has its quartiles apart: too noisy to tell.
    """
    base = timings[floor]
    noisy = Spread.of(base.seconds).noisy
    return [_row(timing, base, None if plain is None else timings[plain], noisy) for timing in timings.values()]


def _row(timing: Timing, base: Timing, plain: Timing | None, noisy: bool) -> dict[str, Any]:
    case, spread, to_floor = timing.case, Spread.of(timing.seconds), ratio(timing, base)
    return {
        "case": case.name,
        "backend": case.backend,
        "ms": 1e3 * spread.median,
        "ms_low": 1e3 * spread.low,
        "ms_high": 1e3 * spread.high,
        "floor": base.case.name,
        "ratio_floor": to_floor.median,
        "ratio_floor_low": to_floor.low,
        "ratio_floor_high": to_floor.high,
        "ratio_plain": None if plain is None else ratio(timing, plain).median,
        "transient_mb": None if timing.transient is None else timing.transient / 1e6,
        "gflops": None if case.floor_flops is None else 1e-9 * case.floor_flops / spread.median,
        "gb_per_s": None if case.floor_bytes is None else 1e-9 * case.floor_bytes / spread.median,
        "rounds": len(timing.seconds),
        "noisy": noisy,
    }


def product_cases(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> list[Case]:
    """The floors of x @ weight.T + bias: `BARE` first, `TORCH`, and `BARE_BFLOAT16` where float32 is given.

    On a CPU the bare product is `torch.ops.mkldnn._linear_pointwise` with weights packed beforehand and a fresh
    output, in the operands' dtype; elsewhere, or without oneDNN, it is `torch.nn.functional.linear`.
    """
    flops = 2.0 * x.shape[0] * weight.shape[0] * weight.shape[1]
    packed = x.device.type == "cpu" and torch.backends.mkldnn.is_available()
    cases = [_bare(BARE, x, weight, bias, packed, flops)]
    if packed:
        cases.append(Case(TORCH, lambda: torch.nn.functional.linear(x, weight, bias), "torch", flops))
    if x.dtype == torch.float32 and (not packed or torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        rough_bias = None if bias is None else bias.bfloat16()
        cases.append(_bare(BARE_BFLOAT16, x.bfloat16(), weight.bfloat16(), rough_bias, packed, flops))
    return cases


def _bare(name: str, x: Tensor, weight: Tensor, bias: Tensor | None, packed: bool, flops: float) -> Case:
    if not packed:
        return Case(name, lambda: torch.nn.functional.linear(x, weight, bias), "torch", flops)
    ready = pack(weight, x.shape[0])
    return Case(name, lambda: linear_packed(x, ready, bias), "oneDNN", flops)


def copy_case(moved: float, device: torch.device | str = "cpu", name: str = COPY) -> Case:
    """The floor of work that moves `moved` bytes, reads and writes together: a plain copy of half as many.

    Both buffers exist already, so this is bandwidth without page faults.
    """
    size = max(1, min(int(moved / 2), COPIED_AT_ONCE))
    source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    whole, rest = divmod(int(moved / 2), size)

    def copy() -> None:
        for _ in range(whole):
            target.copy_(source)
        if rest:
            target[:rest].copy_(source[:rest])

    return Case(name, copy, "torch", floor_bytes=moved)


def _calls(case: Case, device: torch.device) -> int:
    """Warm up; how many calls one timing needs."""
    _time(case, 1, device)
    _time(case, 1, device)
    if case.prepare is not None:
        return 1
    once = _time(case, 1, device)
    return min(MOST_CALLS, max(1, round(SHORTEST / max(once, 1e-9))))


def _time(case: Case, calls: int, device: torch.device) -> float:
    """Seconds a call."""
    if case.prepare is not None:
        case.prepare()
    if device.type == "cuda":
        return _cuda_seconds(case, calls, device) / calls
    begin = time.perf_counter()
    for _ in range(calls):
        case.call()
    if device.type == "mps":
        torch.mps.synchronize()
    return (time.perf_counter() - begin) / calls


def _cuda_seconds(case: Case, calls: int, device: torch.device) -> float:
    """Between two events on the device's current stream."""
    with torch.cuda.device(device):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        for _ in range(calls):
            case.call()
        end.record()
        end.synchronize()
        return 1e-3 * begin.elapsed_time(end)


def _transient(case: Case, device: torch.device) -> int | None:
    if case.prepare is not None:
        case.prepare()
    return transient_bytes(case.call, device)
