"""Which features are active: the counters of a run, and the k largest entries of dense rows."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels import reference_training as reference
from sparse_kernels.dispatch import Backend, Chosen, choose_backend
from sparse_kernels.errors import KernelError
from sparse_kernels.native_training import training_operations
from sparse_kernels.operands import INTEGERS, check_k, check_matrix, describe


@torch.no_grad()
def note_firing_(
    rows_since_fired: Int[Tensor, " f"],
    index: Int[Tensor, "*codes"],
    value: Float[Tensor, "*codes"],
    rows: int,
    *,
    backend: Backend = "auto",
) -> None:
    """Count in place the rows since each feature was last active: `rows` more, or 0 where an entry is not 0.

    Raises: KernelError for operands that do not fit one another.
    """
    if rows_since_fired.ndim != 1 or rows_since_fired.dtype != torch.int64:
        raise KernelError(f"rows_since_fired: wanted [f] int64; found {describe(rows_since_fired)}")
    if index.dtype not in INTEGERS or index.shape != value.shape:
        raise KernelError(f"index: wanted integers of the shape of value {describe(value)}; found {describe(index)}")
    chosen = choose_backend(backend, value.detach(), len(rows_since_fired))
    if chosen != "cpu" or value.dtype != torch.float32 or not rows_since_fired.is_contiguous():
        reference.note_firing(rows_since_fired, index, value, rows)
        return
    training_operations(chosen).note_firing(rows_since_fired, index, value.detach(), rows)


def keep_topk_(scores: Float[Tensor, "n m"], k: int, *, backend: Backend = "auto") -> Float[Tensor, "n m"]:
    """ReLU in place, and zero beyond the k largest of each row; ties to the lowest column, NaN ranks first.

    For a dense matrix that is small enough to keep. The gradient passes where something is left.

    Raises: KernelError for scores that are no matrix, or a k outside 1..m.
    """
    check_matrix("scores", scores, "[n, m]")
    check_k(k, scores.shape[1], "the columns of scores")
    chosen = choose_backend(backend, scores)
    if scores.dtype != torch.float32 or not scores.is_contiguous() or chosen == "triton":
        chosen = "reference"
    return _KeepTopK.apply(scores, k, chosen)  # pyright: ignore[reportReturnType]


class _KeepTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, k: int, chosen: Chosen) -> Tensor:
        if chosen == "reference":
            reference.keep_topk(scores, k)
        else:
            training_operations(chosen).keep_topk(scores, k)
        ctx.mark_dirty(scores)
        ctx.save_for_backward(scores)
        return scores

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        return torch.where(kept == 0, 0.0, upstream), None, None
