"""The sparse kernels beside their floors and plain PyTorch: one file of `operations/` for each."""

from collections.abc import Iterator

from workbench.core import ConfigError, Progress, Result, Silent, get, names, nearest, register

from .comparison import Comparison, Operands, compare, device_of, threads
from .config import KernelBenchConfig

OPERATION = "kernel benchmark"
"""What the comparisons of an operation are registered as: a function (settings, Operands) -> Comparisons."""


@register("benchmark", "kernels")
def bench_kernels(config: KernelBenchConfig | None = None, progress: Progress | None = None) -> Result:
    """Time and transient memory of every operation at every shape.

    Table `kernels`: one row for each case of each comparison.

    Raises:
        ConfigError: an unknown operation or device.
        Interrupted: cancelled before anything was measured.
    """
    config = (config or KernelBenchConfig()).reduced()
    chosen = config.operations or names(OPERATION)
    for name in chosen:
        if name not in names(OPERATION):
            raise ConfigError(f"unknown operation {name!r}", hint=nearest(name, names(OPERATION)))
    with threads(config):
        return compare("kernels", _comparisons(chosen, config), config, progress or Silent())


def _comparisons(chosen: tuple[str, ...], config: KernelBenchConfig) -> Iterator[Comparison]:
    for name in chosen:
        yield from get(OPERATION, name)(config, Operands(config.seed, device_of(config)))
