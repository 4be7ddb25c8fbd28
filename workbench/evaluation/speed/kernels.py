"""The sparse kernels beside their floors and plain PyTorch: one file of `operations/` for each."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sparse_kernels import KernelError, compiled_kernels
from workbench.core import ConfigError, Progress, Result, Silent, get, names, nearest, register

from .comparison import Comparison, Operands, compare, device_of, threads
from .config import KernelBenchConfig

OPERATION = "kernel benchmark"
"""What the comparisons of an operation are registered as: a function (settings, Operands) -> Comparisons."""


@register("benchmark", "kernels")
def bench_kernels(config: KernelBenchConfig | None = None, progress: Progress | None = None) -> Result:
    """Time and transient memory of every operation at every shape.

    Table `kernels`: one row for each case of each comparison. Table `compiled`, where the settings ask for it: what
    the Triton kernels use on two NVIDIA generations, compiled here without a GPU.

    Raises:
        ConfigError: an unknown operation or device.
        Interrupted: cancelled before anything was measured.
    """
    config = (config or KernelBenchConfig()).reduced()
    chosen = config.operations or names(OPERATION)
    for name in chosen:
        if name not in names(OPERATION):
            raise ConfigError(f"unknown operation {name!r}", hint=nearest(name, names(OPERATION)))
    progress = progress or Silent()
    with threads(config):
        result = compare("kernels", _comparisons(chosen, config), config, progress)
    if not config.compiled or result.partial:
        return result
    progress.phase("compile the Triton kernels", unit="kernels")
    return replace(result, tables=result.tables | {"compiled": list(_compiled(progress))})


def _comparisons(chosen: tuple[str, ...], config: KernelBenchConfig) -> Iterator[Comparison]:
    for name in chosen:
        yield from get(OPERATION, name)(config, Operands(config.seed, device_of(config)))


def _compiled(progress: Progress) -> Iterator[dict[str, Any]]:
    try:
        for record in compiled_kernels():
            progress.advance()
            yield record
    except KernelError as error:
        raise ConfigError(f"cannot compile the Triton kernels: {error}") from None
