"""What moves weights between two batches: Adam, Adam for the touched rows only, rows of unit length.

`adam_` is PyTorch's own fused kernel, which streams gradient, weight and moments once, at memory bandwidth. The unit
norm is a pass of its own over the decoder, about a hundredth of a training step.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim.adam import adam

from sparse_kernels import reference_training as reference
from sparse_kernels.dispatch import Backend, Chosen, choose_backend
from sparse_kernels.errors import KernelError
from sparse_kernels.native_training import training_operations
from sparse_kernels.operands import INTEGERS, check_like, check_matrix, describe


@torch.no_grad()
def adam_(
    weight: Float[Tensor, "*s"],
    gradient: Float[Tensor, "*s"],
    mean: Float[Tensor, "*s"],
    square: Float[Tensor, "*s"],
    step: Float[Tensor, ""],
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> None:
    """One step of Adam (Kingma and Ba 2015) in place: `torch.optim.adam.adam(fused=True)` on one tensor.

    `step` is a float32 scalar on the weight's device that counts up.

    Raises: KernelError for operands that do not fit one another.
    """
    for name, tensor in (("gradient", gradient), ("mean", mean), ("square", square)):
        if tensor.shape != weight.shape:
            raise KernelError(f"{name}: wanted the shape of weight {describe(weight)}; found {describe(tensor)}")
        check_like(name, tensor, "weight", weight)
    tensors = ([weight], [gradient], [mean], [square], [], [step])
    fixed: dict[str, Any] = {"amsgrad": False, "weight_decay": 0.0, "maximize": False, "fused": True}
    adam(*tensors, lr=lr, beta1=betas[0], beta2=betas[1], eps=eps, **fixed)


@torch.no_grad()
def row_sparse_adam_(
    rows: Int[Tensor, " m"],
    gradient: Float[Tensor, "m ..."],
    weight: Float[Tensor, "f ..."],
    mean: Float[Tensor, "f ..."],
    square: Float[Tensor, "f ..."],
    steps: Int[Tensor, " f"],
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    backend: Backend = "auto",
) -> None:
    """One step in place for the rows of `weight` that `rows` names, each once; all others stay as they are.

    With r a row, g its gradient and t_r = steps[r], the batches that touched it so far, this one included:

        m_r <- beta1 m_r + (1 - beta1) g        v_r <- beta2 v_r + (1 - beta2) g^2
        w_r <- w_r - lr (m_r / (1 - beta1^t_r)) / (sqrt(v_r / (1 - beta2^t_r)) + eps)

    This is not Adam. Adam treats a row without gradient as one with gradient 0: its moments decay, and it coasts on
    its momentum. Here it rests, and its moments are averages over the batches that touched it; a rare feature moves
    less often and remembers longer. With every row touched in every batch the two are the same.
    `torch.optim.SparseAdam` also lets untouched rows rest, but corrects the bias by the batches of the whole run,
    so that a row first touched late makes a first step of (1 - beta1) / sqrt(1 - beta2) = 3.2 lr instead of lr.

    `steps` is int32 or int64. Float32 contiguous tensors take the native path, others the reference.

    Raises: KernelError for operands that do not fit one another; on a CPU also for a row outside weight.
    """
    _check_rows(rows, gradient, weight)
    for name, tensor in (("mean", mean), ("square", square)):
        if tensor.shape != weight.shape:
            raise KernelError(f"{name}: wanted the shape of weight {describe(weight)}; found {describe(tensor)}")
        check_like(name, tensor, "weight", weight)
    if steps.shape != weight.shape[:1] or steps.dtype not in INTEGERS:
        raise KernelError(f"steps: wanted [{len(weight)}] int32 or int64; found {describe(steps)}")
    chosen = _choose_in_place(backend, weight, mean, square, steps)
    if chosen == "reference" or 0 in gradient.shape:
        reference.row_sparse_adam(rows, gradient, weight, mean, square, steps, lr, betas, eps)
        return
    given = [tensor.reshape(len(tensor), -1) for tensor in (gradient.contiguous(), weight, mean, square)]
    operations = training_operations(chosen)
    operations.row_sparse_adam(rows.long().contiguous(), *given, steps=steps, lr=lr, betas=betas, eps=eps)


@torch.no_grad()
def unit_norm_(weight: Float[Tensor, "f d"], *, backend: Backend = "auto") -> None:
    """Scale every row to length 1 in place; a row of zeros stays.

    Raises: KernelError for a weight that is no matrix.
    """
    check_matrix("weight", weight, "[f, d]")
    chosen = _choose_in_place(backend, weight)
    if chosen == "reference" or 0 in weight.shape:
        reference.unit_norm(weight)
        return
    training_operations(chosen).unit_norm(weight)


@torch.no_grad()
def remove_radial_(
    gradient: Float[Tensor, "m d"],
    weight: Float[Tensor, "f d"],
    rows: Int[Tensor, " m"] | None = None,
    *,
    backend: Backend = "auto",
) -> None:
    """Take from each row of `gradient`, in place, its component along the row of `weight`.

    A step along a row of fixed length is undone by `unit_norm_`, but Adam's moments would remember it (Bricken et al.
    2023). `rows` says to which rows of weight the gradient's belong; without it, to all in order.

    Raises: KernelError for operands that do not fit one another; on a CPU also for a row outside weight.
    """
    check_matrix("weight", weight, "[f, d]")
    if rows is None and gradient.shape != weight.shape:
        raise KernelError(f"gradient: wanted the shape of weight {describe(weight)}; found {describe(gradient)}")
    if rows is not None:
        _check_rows(rows, gradient, weight)
    check_like("gradient", gradient, "weight", weight)
    chosen = _choose_in_place(backend, weight, gradient)
    if chosen == "reference" or 0 in gradient.shape:
        reference.remove_radial(rows, gradient, weight)
        return
    chosen_rows = None if rows is None else rows.long().contiguous()
    training_operations(chosen).remove_radial(chosen_rows, gradient, weight)


def _choose_in_place(backend: Backend, weight: Tensor, *others: Tensor) -> Chosen:
    """Native kernels write float32 in the order of memory; everything else takes the reference."""
    chosen = choose_backend(backend, weight)
    plain = weight.dtype == torch.float32 and all(each.is_contiguous() for each in (weight, *others))
    return chosen if plain else "reference"


def _check_rows(rows: Tensor, gradient: Tensor, weight: Tensor) -> None:
    if rows.ndim != 1 or rows.dtype not in INTEGERS:
        raise KernelError(f"rows: wanted [m] int64 or int32; found {describe(rows)}")
    if gradient.shape != (len(rows), *weight.shape[1:]):
        shape = ", ".join(map(str, (len(rows), *weight.shape[1:])))
        raise KernelError(f"gradient: wanted [{shape}] to fit rows and weight; found {describe(gradient)}")
    check_like("gradient", gradient, "weight", weight)
    if rows.device != weight.device:
        raise KernelError(f"rows: wanted the device of weight ({weight.device}); found {describe(rows)}")
    if rows.device.type == "cpu" and rows.numel():
        low, high = (int(bound) for bound in rows.aminmax())
        if low < 0 or high >= len(weight):
            raise KernelError(f"rows: wanted 0 to {len(weight) - 1} (the rows of weight); found {low} to {high}")
