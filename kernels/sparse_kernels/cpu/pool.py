"""PyTorch's own threads for compiled functions: where both come from one OpenMP, nobody waits for the other's pool.

numba brings an OpenMP library of its own. Its threads and PyTorch's, which spin for a while after each operation, then
want the same cores, and a short kernel between two operations of PyTorch takes twice its time. PyTorch's libgomp can
run a C function in its own threads; a kernel that asks it for the number of its thread does its share there.
"""

import ctypes
import functools
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sparse_kernels.cpu import compiled


class Pool(NamedTuple):
    """Addresses within PyTorch's OpenMP library, for compiled functions that run in its threads."""

    run: Any
    thread_number: int
    threads: int
    barrier: int

    def __call__(self, function: int, operands: int) -> None:
        """Call the function at an address with its operands once in each of PyTorch's threads, and wait for all."""
        self.run(function, operands, 1 if compiled.forked() else torch.get_num_threads(), 0)


@functools.cache
def torch_pool() -> Pool | None:
    """PyTorch's pool; None where its OpenMP is no libgomp that it brings along."""
    if not sys.platform.startswith("linux") or not torch.backends.openmp.is_available():
        return None
    folders = [Path(torch.__file__).parent / "lib", Path(torch.__file__).parents[1] / "torch.libs"]
    for path in (path for folder in folders for path in sorted(folder.glob("libgomp*.so*"))):
        try:
            # Only if it is loaded already: another copy would be one pool more.
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD)
            run = library.GOMP_parallel
            run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
            run.restype = None
            return Pool(
                run,
                _address(library.omp_get_thread_num),
                _address(library.omp_get_num_threads),
                _address(library.GOMP_barrier),
            )
        except (OSError, AttributeError):
            continue
    return None


def _address(function: Any) -> int:
    found = ctypes.cast(function, ctypes.c_void_p).value
    assert found is not None
    return found
