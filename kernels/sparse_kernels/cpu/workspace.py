"""Buffers that are used again: touching fresh memory costs more than most of the work done in it."""

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Workspace(threading.local):
    """Scratch arrays of one thread, grown to the largest size asked for under each name."""

    def __init__(self) -> None:
        self._arrays: dict[str, np.ndarray] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """An uninitialised array that the next request under `name` will overwrite."""
        size = int(np.prod(shape))
        kept = self._arrays.get(name)
        if kept is None or kept.size < size or kept.dtype != dtype:
            kept = self._arrays[name] = np.empty(max(size, 1), dtype)
        return kept[:size].reshape(shape)

    def size(self) -> int:
        """Bytes held."""
        return sum(kept.nbytes for kept in self._arrays.values())

    def clear(self) -> None:
        """Give the memory back."""
        self._arrays.clear()


class GradientPool:
    """Storages for the gradients of weights, reused as soon as nobody else holds them.

    A training step drops last step's gradients and needs new ones of the same size, which the allocator
    would fetch from the system anew. The pool keeps hold of storages, never of tensors, so autograd still
    takes a gradient over without a copy. A storage that only the pool holds is free.
    """

    KEPT = 4
    """Storages kept for each size: encoder and decoder gradients, and one spare of each."""
    SIZES = 4
    """Sizes kept at a time, so that a sweep over widths does not pile up."""
    SMALLEST = 1 << 20
    """Bytes below which the ordinary allocator is as good."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[int, list[torch.UntypedStorage]] = {}

    def take(self, shape: tuple[int, ...]) -> Tensor:
        """An uninitialised float32 tensor."""
        size = 4 * int(np.prod(shape))
        if size < self.SMALLEST or not hasattr(torch._C, "_storage_Use_Count"):
            return torch.empty(shape)
        with self._lock:
            storages = self._kept[size] = self._kept.pop(size, [])
            while len(self._kept) > self.SIZES:
                del self._kept[next(iter(self._kept))]
            for at, storage in enumerate(storages):
                if torch._C._storage_Use_Count(storage._cdata) == 1:
                    storages.append(storages.pop(at))
                    return _over(storage, shape)
            tensor = torch.empty(shape)
            storages.append(tensor.untyped_storage())
            del storages[: -self.KEPT]
            return tensor

    def clear(self) -> None:
        """Give the memory back."""
        with self._lock:
            self._kept.clear()


def _over(storage: torch.UntypedStorage, shape: tuple[int, ...]) -> Tensor:
    tensor: Any = torch.empty(0)
    return tensor.set_(storage, 0, shape)


workspace = Workspace()
gradients = GradientPool()
