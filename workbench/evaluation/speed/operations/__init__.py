"""The operations of `bench kernels`: one file each, which ends up registered by being here.

A file holds one function (KernelBenchConfig, Operands) -> Iterator[Comparison], registered as a `kernel benchmark`.
It draws its operands when its turn comes, so that only one shape is held at a time.
"""

import importlib
import pkgutil

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{module.name}")
