"""A comparison is a piece of work at one shape: own and foreign ways to do it, its floor, and plain PyTorch."""

import contextlib
import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from sparse_kernels import Backend, speed
from workbench.core import ConfigError, Interrupted, Progress, Result, generator

from .config import BenchConfig
from .machine import machine


@dataclass(frozen=True)
class Comparison:
    """Cases that take turns.

    Attributes:
        operation: what is done; shape: at which sizes; dtype: of the operands.
        cases: the ways to do it, names unique.
        floor: name of the case that no way is expected to beat by much: a bare product, or a copy of the bytes.
        plain: name of the case in plain PyTorch; None where there is none.
        rounds: fewer rounds than the settings say, where only the memory is of interest.
    """

    operation: str
    shape: str
    dtype: str
    cases: tuple[speed.Case, ...]
    floor: str
    plain: str | None = None
    rounds: int | None = None


class Operands:
    """Draws operands on a device, the same for the same seed."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self._draw = generator(seed, "operands")

    @property
    def backend(self) -> Backend:
        """The native backend of the device."""
        return "triton" if self.device.type == "cuda" else "cpu"

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Standard normal."""
        return torch.randn(*shape, generator=self._draw).to(self.device, dtype)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Between 0 and 1."""
        return torch.rand(*shape, generator=self._draw).to(self.device)

    def index(self, *shape: int, below: int) -> torch.Tensor:
        """Whole numbers from 0 to `below` - 1, int64."""
        return torch.randint(below, shape, generator=self._draw).to(self.device)


@contextlib.contextmanager
def _collecting_what_is_new() -> Iterator[None]:
    """Every count of memory begins with a garbage collection; what was alive before need not be visited each time."""
    if gc.get_freeze_count():  # somebody has left it out already
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@_collecting_what_is_new()
def compare(
    kind: str, comparisons: Iterable[Comparison], config: BenchConfig, progress: Progress, notes: tuple[str, ...] = ()
) -> Result:
    """Measure one comparison after the other; the table `kind` has one row for each case.

    Raises:
        Interrupted: cancelled before one round of one comparison was done.
    """
    records: list[dict[str, Any]] = []
    stopped = False
    for comparison in comparisons:
        if stopped := progress.cancelled():
            break
        rounds = min(config.rounds, comparison.rounds or config.rounds)
        progress.phase(f"{comparison.operation}, {comparison.shape}, {comparison.dtype}", rounds, "rounds")

        def turn() -> bool:
            progress.advance()
            return progress.cancelled()

        timings = speed.measure(comparison.cases, rounds=rounds, device=device_of(config), advance=turn)
        what = {"operation": comparison.operation, "shape": comparison.shape, "dtype": comparison.dtype}
        rows = speed.rows(timings, floor=comparison.floor, plain=comparison.plain)
        records += [what | row for row in rows]
        if stopped := progress.cancelled():
            break
    if stopped and not records:
        raise Interrupted("the benchmark was cancelled before anything was measured")
    noisy = {(record["operation"], record["shape"]) for record in records if record["noisy"]}
    return Result(
        kind="benchmark",
        scalars={"rows": float(len(records)), "too_noisy": float(len(noisy))},
        tables={kind: records},
        params={"benchmark": kind, **config.model_dump(mode="json"), **machine(device_of(config))},
        notes=(*_NOTES, *notes, *_warnings(config, noisy)),
        seed=config.seed,
        partial=stopped,
    )


@contextlib.contextmanager
def threads(config: BenchConfig) -> Iterator[None]:
    """PyTorch (and numba, which follows it) at the thread count of the settings."""
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_of(config: BenchConfig) -> torch.device:
    """The device that the settings name.

    Raises:
        ConfigError: unknown, or this machine has none.
    """
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if config.device not in ("cpu", "cuda"):
        raise ConfigError(f"wanted the device auto, cpu or cuda; found {config.device!r}")
    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("wanted the device cuda", found="this machine has none", hint="use cpu or auto")
    return torch.device(config.device)


_NOTES = (
    "Every case has one turn in each round, in changing order, after a warm-up; ms is the median over the rounds, "
    "ratio_floor and ratio_plain are medians of the ratios within a round (below 1: faster).",
    f"{speed.BARE}: torch.ops.mkldnn._linear_pointwise with weights packed beforehand and a fresh output, in float32 "
    f"(on a GPU: torch.nn.functional.linear); {speed.TORCH}: torch.nn.functional.linear.",
    f"{speed.COPY}: a plain copy that reads and writes as many bytes as the work must; rows that recur come from the "
    "cache, so less is possible.",
    "transient_mb: peak of one call above what was held at its start, result and kept buffers included.",
)


def _warnings(config: BenchConfig, noisy: set[tuple[str, str]]) -> tuple[str, ...]:
    found = ("Quick: small shapes and few rounds, a look and no measurement.",) if config.quick else ()
    if not noisy:
        return found
    where = "; ".join(f"{operation} {shape}" for operation, shape in sorted(noisy))
    return (*found, f"Too noisy to tell (quartiles of the floor more than {speed.NOISY:g} apart): {where}.")
