"""Checks at the door: every public function names the operand that does not fit."""

import torch
from torch import Tensor

from sparse_kernels.errors import KernelError

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.int64, torch.int32)


def describe(tensor: Tensor) -> str:
    """Shape, dtype and device as one phrase of an error message."""
    return f"[{', '.join(map(str, tensor.shape))}] {str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"


def check_matrix(name: str, tensor: Tensor, shape: str = "two dimensions") -> None:
    if tensor.ndim != 2:
        raise KernelError(f"{name}: wanted {shape}; found {describe(tensor)}")
    if tensor.dtype not in FLOATS:
        raise KernelError(f"{name}: wanted a floating dtype; found {describe(tensor)}")


def check_like(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Same dtype and device as another operand."""
    if tensor.dtype != other.dtype:
        raise KernelError(
            f"{name}: wanted the dtype of {other_name} ({other.dtype}); found {describe(tensor)}; "
            f"try .to({other.dtype})"
        )
    if tensor.device != other.device:
        raise KernelError(f"{name}: wanted the device of {other_name} ({other.device}); found {describe(tensor)}")


def check_encoder(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """x [n d], weight [f d], bias [f] agree with one another."""
    check_matrix("x", x, "rows [n, d]")
    check_matrix("weight", weight, "one row for each feature, [f, d]")
    check_like("weight", weight, "x", x)
    if weight.shape[1] != x.shape[1]:
        raise KernelError(f"weight: wanted [f, {x.shape[1]}] to fit x {describe(x)}; found {describe(weight)}")
    if bias is None:
        return
    if bias.shape != (weight.shape[0],):
        raise KernelError(f"bias: wanted [{weight.shape[0]}] to fit weight {describe(weight)}; found {describe(bias)}")
    check_like("bias", bias, "x", x)


def check_k(k: int, features: int) -> None:
    if isinstance(k, bool) or not isinstance(k, int):
        raise KernelError(f"k: wanted a whole number; found {k!r}")
    if not 1 <= k <= features:
        raise KernelError(f"k: wanted 1 to {features} (the features of weight); found {k}")


def check_codes(index: Tensor, value: Tensor, weight: Tensor) -> None:
    """index [n k] and value [n k] address rows of weight [f d]."""
    check_matrix("value", value, "[n, k]")
    check_matrix("weight", weight, "one row for each feature, [f, d]")
    check_like("value", value, "weight", weight)
    if index.dtype not in INTEGERS:
        raise KernelError(f"index: wanted int64 or int32; found {describe(index)}")
    if index.shape != value.shape:
        raise KernelError(f"index: wanted the shape of value {describe(value)}; found {describe(index)}")
    if index.device != value.device:
        raise KernelError(f"index: wanted the device of value ({value.device}); found {describe(index)}")
    if index.device.type == "cpu" and index.numel():
        low, high = (int(bound) for bound in index.aminmax())
        if low < 0 or high >= weight.shape[0]:
            raise KernelError(
                f"index: wanted features 0 to {weight.shape[0] - 1} of weight {describe(weight)}; found {low} to {high}"
            )
