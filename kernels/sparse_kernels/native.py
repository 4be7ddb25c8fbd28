"""The operations that a native backend brings; the autograd functions know them by these signatures only."""

import importlib
from typing import Protocol, cast, runtime_checkable

from torch import Tensor

from sparse_kernels.dispatch import Chosen


@runtime_checkable
class NativeOperations(Protocol):
    """float32, contiguous, int64 indices; no checks, no autograd.

    Codes are [n k] without offsets, and [m] with offsets [n + 1].
    """

    def encode_topk(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, k: int, relu: bool, groups: int
    ) -> tuple[Tensor, Tensor]: ...

    def encode_batch_topk(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, k: int
    ) -> tuple[Tensor, Tensor, Tensor]: ...

    def encode_threshold(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, cutoffs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]: ...

    def gather_sum(self, index: Tensor, value: Tensor, weight: Tensor, offsets: Tensor | None) -> Tensor: ...

    def gather_dot(self, index: Tensor, source: Tensor, weight: Tensor, offsets: Tensor | None) -> Tensor: ...

    def scatter_sum(
        self, index: Tensor, coefficient: Tensor, source: Tensor, features: int, offsets: Tensor | None
    ) -> tuple[Tensor, Tensor]: ...


def native_operations(chosen: Chosen) -> NativeOperations:
    """The module that holds them, imported on first use: numba and triton stay out until then."""
    room = {"cpu": "cpu", "triton": "gpu"}[chosen]
    return cast(NativeOperations, importlib.import_module(f"sparse_kernels.{room}.operations"))
