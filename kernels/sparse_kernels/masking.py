"""Weights times soft masks: what continuous sparsification multiplies with, and the gradient to the masks' logits."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sparse_kernels.dispatch import Backend, choose_backend
from sparse_kernels.errors import KernelError
from sparse_kernels.operands import describe

_FEW = 1 << 18
"""Entries up to which PyTorch's passes stay in the cache, and nothing need be compiled."""


@torch.no_grad()
def soft_masked(
    weight: Float[Tensor, "*s"], logits: Float[Tensor, "*s"], temperature: float, *, backend: Backend = "auto"
) -> Float[Tensor, "*s"]:
    """weight * sigmoid(temperature * logits) in the weight's dtype; logits are float32.

    Float32 and bfloat16 weights take the native path, others the reference; what lies in another order than the
    weight is copied first.

    Raises: KernelError for operands that do not fit one another.
    """
    _check(weight, logits)
    if _native(backend, weight):
        weight, logits = _aligned(weight, logits)
        out = torch.empty_like(weight)
        _run("mask_weight", (_flat(weight), _flat(logits), np.float32(temperature), _flat(out)))
        return out
    return torch.mul(logits, temperature).sigmoid_().to(weight.dtype).mul_(weight)


@torch.no_grad()
def soft_mask_gradient(
    gradient: Float[Tensor, "*s"],
    weight: Float[Tensor, "*s"],
    logits: Float[Tensor, "*s"],
    temperature: float,
    penalty: float = 0.0,
    *,
    backend: Backend = "auto",
) -> Float[Tensor, "*s"]:
    """The gradient to the logits, from that to the masked weight; float32.

    With s the soft mask it is (gradient * weight + penalty) * temperature * s * (1 - s): `penalty` is what a unit of s
    costs.

    Raises: KernelError for operands that do not fit one another.
    """
    _check(weight, logits)
    if gradient.shape != weight.shape:
        raise KernelError(f"gradient: wanted the shape of weight {describe(weight)}; found {describe(gradient)}")
    if gradient.dtype == weight.dtype and _native(backend, weight):
        weight, logits, gradient = _aligned(weight, logits, gradient)
        out = torch.empty_like(logits)
        numbers = np.float32(temperature), np.float32(penalty)
        _run("mask_gradient", (_flat(gradient), _flat(weight), _flat(logits), *numbers, _flat(out)))
        return out
    soft = torch.mul(logits, temperature).sigmoid_()
    found = torch.mul(soft, gradient).mul_(weight)
    if penalty:
        found.add_(soft, alpha=penalty)
    return found.addcmul_(found, soft, value=-1).mul_(temperature)


def _check(weight: Tensor, logits: Tensor) -> None:
    if logits.shape != weight.shape or logits.dtype != torch.float32 or logits.device != weight.device:
        raise KernelError(f"logits: wanted float32 like weight {describe(weight)}; found {describe(logits)}")


def _native(backend: Backend, weight: Tensor) -> bool:
    if choose_backend(backend, weight, None) != "cpu" or weight.dtype not in (torch.float32, torch.bfloat16):
        return False
    return weight.numel() > (_FEW if backend == "auto" else 0)


def _aligned(weight: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """The operands in one and the same dense order of memory, which native kernels go through."""
    dense = weight.is_contiguous() or (weight.ndim == 2 and weight.T.is_contiguous())
    if dense and all(other.stride() == weight.stride() for other in others):
        return (weight, *others)
    return tuple(each.contiguous() for each in (weight, *others))


def _flat(tensor: Tensor) -> np.ndarray:
    """The numbers in the order of memory; bfloat16 as the int16 of its bits."""
    rows = tensor.detach() if tensor.is_contiguous() else tensor.detach().T
    return (rows.view(torch.int16) if rows.dtype == torch.bfloat16 else rows).reshape(-1).numpy()


def _run(name: str, operands: tuple[object, ...]) -> None:
    from sparse_kernels.cpu.compiled import by_rows

    entries = operands[-1]
    assert isinstance(entries, np.ndarray)
    by_rows("masking", name, operands, len(entries))
