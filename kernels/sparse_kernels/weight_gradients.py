"""Gradients of weights as the rows that a batch touched, in place of a dense [f, d]."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels.dispatch import Chosen
from sparse_kernels.errors import KernelError
from sparse_kernels.native import native_operations
from sparse_kernels.native_training import training_operations

_state = threading.local()


@contextlib.contextmanager
def sparse_gradients(wanted: bool = True) -> Iterator[None]:
    """Within it, the native kernels promise their weights' gradients as sparse tensors (as `nn.Embedding` does).

    The gradients of `weight` and of the encoder's bias then arrive as sparse COO tensors that hold only the rows to
    which an entry with a coefficient other than 0 contributes: a batch neither allocates nor sweeps [f, d]. Only
    leaves get them, for few operations take a sparse gradient; the reference always gives dense ones.
    The forward pass must run within it; the backward pass may run anywhere.
    """
    before = getattr(_state, "wanted", False)
    _state.wanted = wanted
    try:
        yield
    finally:
        _state.wanted = before


def wants_sparse(weight: Tensor, bias: Tensor | None = None) -> bool:
    """Whether the gradients of a call that is being made are to be sparse."""
    leaf = weight.is_leaf and (bias is None or bias.is_leaf)
    return bool(getattr(_state, "wanted", False)) and leaf


def weight_gradient(
    chosen: Chosen,
    index: Tensor,
    coefficient: Tensor,
    source: Tensor,
    weight: Tensor,
    offsets: Tensor | None,
    sparse: bool,
) -> tuple[Tensor, Tensor]:
    """The sums [f, d] of coefficient times source by feature, and the sums [f] of the coefficients."""
    if not sparse:
        return native_operations(chosen).scatter_sum(index, coefficient, source, weight.shape[0], offsets)
    rows, values, sums = training_operations(chosen).scatter_rows(index, coefficient, source, weight.shape[0], offsets)
    return _coo(rows, values.to(weight.dtype), weight.shape), _coo(rows, sums.to(weight.dtype), weight.shape[:1])


def gradient_rows(gradient: Float[Tensor, "f ..."]) -> tuple[Int[Tensor, " m"], Float[Tensor, "m ..."]]:
    """(rows, values) of a gradient that is sparse in its first axis, every row once, in rising order.

    What one use of a weight gave is not copied; several uses are added up.

    Raises: KernelError for a dense gradient.
    """
    if gradient.layout != torch.sparse_coo or gradient.sparse_dim() != 1:
        raise KernelError(f"gradient: wanted a sparse COO tensor of rows; found {gradient.layout}")
    rows = gradient._indices()[0]
    if not (gradient.is_coalesced() or bool((rows[1:] > rows[:-1]).all())):
        gradient = gradient.coalesce()
        rows = gradient._indices()[0]
    return rows, gradient._values()


def take_rows(
    weight: Float[Tensor, "f ..."], index: Int[Tensor, " m"]
) -> tuple[Float[Tensor, "f ..."], Float[Tensor, "m ..."]]:
    """(weight, weight[index]) for a weight that is used as a whole, too; the index names every row once.

    Plain indexing would bring a second gradient [f, ...], mostly zeros, and a third for the sum. Here the rows' part
    is added into the other one, in place; so the returned weight may go only where gradients are made anew for it, as
    the products and sums of this package do. Within `sparse_gradients` the rows' part is sparse, too.
    """
    if wants_sparse(weight):
        return weight, _SparseRows.apply(weight, index)  # pyright: ignore[reportReturnType]
    return _Rows.apply(weight, index)  # pyright: ignore[reportReturnType]


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(index)
        ctx.shape = weight.shape
        ctx.set_materialize_grads(False)
        return weight.view_as(weight), weight.index_select(0, index)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, whole: Tensor | None, rows: Tensor | None) -> tuple[Tensor | None, None]:
        (index,) = ctx.saved_tensors
        if rows is None:
            return whole, None
        if whole is None:
            whole = rows.new_zeros(ctx.shape)
        return whole.contiguous().index_add_(0, index, rows), None


class _SparseRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape = weight.shape
        return weight.index_select(0, index)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, rows: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        return torch.sparse_coo_tensor(index[None], rows, ctx.shape, check_invariants=False), None


def _coo(rows: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    return torch.sparse_coo_tensor(rows[None], values, shape, check_invariants=False, is_coalesced=True)
