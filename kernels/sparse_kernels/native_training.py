"""The operations of a training step that a native backend brings, beside those of `native`."""

import importlib
from typing import Protocol, cast, runtime_checkable

from torch import Tensor

from sparse_kernels.dispatch import Chosen


@runtime_checkable
class TrainingOperations(Protocol):
    """float32, contiguous, int64 indices; no checks, no autograd. Codes are [n k], or [m] with offsets [n + 1]."""

    def gather_error(
        self,
        index: Tensor,
        value: Tensor,
        weight: Tensor,
        base: Tensor,
        target: Tensor,
        offsets: Tensor | None,
        dots: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None]: ...

    def squared_deviation(self, rows: Tensor) -> Tensor: ...

    def scatter_rows(
        self, index: Tensor, coefficient: Tensor, source: Tensor, features: int, offsets: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]: ...

    def row_sparse_adam(
        self,
        rows: Tensor,
        gradient: Tensor,
        weight: Tensor,
        mean: Tensor,
        square: Tensor,
        steps: Tensor,
        lr: float,
        betas: tuple[float, float],
        eps: float,
    ) -> None: ...

    def unit_norm(self, weight: Tensor) -> None: ...

    def remove_radial(self, rows: Tensor | None, gradient: Tensor, weight: Tensor) -> None: ...

    def note_firing(self, rows_since_fired: Tensor, index: Tensor, value: Tensor, rows: int) -> None: ...

    def keep_topk(self, scores: Tensor, k: int) -> None: ...


def training_operations(chosen: Chosen) -> TrainingOperations:
    """The module that holds them, imported on first use."""
    room = {"cpu": "cpu", "triton": "gpu"}[chosen]
    return cast(TrainingOperations, importlib.import_module(f"sparse_kernels.{room}.training"))
