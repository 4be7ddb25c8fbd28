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


def check_k(k: int, features: int, whose: str = "the features of weight") -> None:
    if isinstance(k, bool) or not isinstance(k, int):
        raise KernelError(f"k: wanted a whole number; found {k!r}")
    if not 1 <= k <= features:
        raise KernelError(f"k: wanted 1 to {features} ({whose}); found {k}")


def check_groups(groups: int, features: int) -> None:
    """`groups` equal groups of features."""
    if isinstance(groups, bool) or not isinstance(groups, int):
        raise KernelError(f"groups: wanted a whole number; found {groups!r}")
    if groups < 1 or features % groups:
        raise KernelError(f"groups: wanted a divisor of {features} (the features of weight); found {groups}")


def check_threshold(threshold: float | Tensor, x: Tensor, weight: Tensor) -> None:
    """A number, or a tensor of one number or one for each feature."""
    if not isinstance(threshold, Tensor):
        if isinstance(threshold, bool) or not isinstance(threshold, int | float):
            raise KernelError(f"threshold: wanted a number or a tensor [{weight.shape[0]}]; found {threshold!r}")
        return
    if threshold.shape not in ((), (weight.shape[0],)):
        raise KernelError(
            f"threshold: wanted a number or [{weight.shape[0]}] to fit weight {describe(weight)}; "
            f"found {describe(threshold)}"
        )
    check_like("threshold", threshold, "x", x)


def check_codes(index: Tensor, value: Tensor, weight: Tensor, offsets: Tensor | None = None) -> None:
    """index and value, [n k] or with offsets [m], address rows of weight [f d]."""
    if offsets is None:
        check_matrix("value", value, "[n, k]")
    else:
        _check_ragged(value, offsets)
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


def _check_ragged(value: Tensor, offsets: Tensor) -> None:
    if value.ndim != 1 or value.dtype not in FLOATS:
        raise KernelError(f"value: wanted a floating dtype and [m] to go with offsets; found {describe(value)}")
    if offsets.ndim != 1 or not len(offsets) or offsets.dtype not in INTEGERS:
        raise KernelError(f"offsets: wanted [n + 1] of int64 or int32; found {describe(offsets)}")
    if offsets.device != value.device:
        raise KernelError(f"offsets: wanted the device of value ({value.device}); found {describe(offsets)}")
    if offsets.device.type == "cpu":
        first, last = int(offsets[0]), int(offsets[-1])
        if first != 0 or last != len(value) or bool((offsets.diff() < 0).any()):
            raise KernelError(
                f"offsets: wanted numbers that rise from 0 to {len(value)} (the entries of value); "
                f"found {first} to {last}"
            )
