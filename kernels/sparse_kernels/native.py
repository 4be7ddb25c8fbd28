"""The operations that a native backend brings; the autograd functions know them by these signatures only."""

import importlib
from typing import Protocol, cast, runtime_checkable

from torch import Tensor

from sparse_kernels.dispatch import Chosen


@runtime_checkable
class NativeOperations(Protocol):
    """float32, contiguous, int64 indices; no checks, no autograd."""

    def encode_topk(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, k: int, relu: bool
    ) -> tuple[Tensor, Tensor]: ...

    def gather_sum(self, index: Tensor, value: Tensor, weight: Tensor) -> Tensor: ...

    def gather_dot(self, index: Tensor, source: Tensor, weight: Tensor) -> Tensor: ...

    def scatter_sum(
        self, index: Tensor, coefficient: Tensor, source: Tensor, features: int
    ) -> tuple[Tensor, Tensor]: ...


def native_operations(chosen: Chosen) -> NativeOperations:
    """The module that holds them, imported on first use: numba and triton stay out until then."""
    room = {"cpu": "cpu", "triton": "gpu"}[chosen]
    return cast(NativeOperations, importlib.import_module(f"sparse_kernels.{room}.operations"))
