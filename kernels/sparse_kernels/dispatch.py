"""Which implementation a call uses: decided per call from the operands and the environment."""

import importlib.util
import os
from typing import Literal, get_args

import torch
from torch import Tensor

from sparse_kernels.errors import KernelError

Backend = Literal["auto", "reference", "cpu", "triton"]
Chosen = Literal["reference", "cpu", "triton"]

ENVIRONMENT = "WORKBENCH_KERNELS"
"""Environment variable that sets the backend of calls that say `auto`."""

FEW_FEATURES = 256
"""Dictionaries up to this size take the reference on a CPU when nobody forces a backend."""

_HALF = (torch.float16, torch.bfloat16)


def choose_backend(requested: str, operand: Tensor, features: int | None = None) -> Chosen:
    """Resolve `requested` for an operand's device and dtype.

    An explicit `backend=` wins over the environment, the environment over `auto`. `auto` takes `cpu` for
    CPU tensors and `triton` for CUDA tensors where it is installed. float64 always runs on the reference
    under `auto`: it is there for gradient checks, not for speed. So do dictionaries of up to `FEW_FEATURES`
    on a CPU: their dense rows stay in the cache, and nothing need be compiled first.

    Raises: KernelError for an unknown name, or where a forced backend cannot take the operand.
    """
    named = requested if requested != "auto" else os.environ.get(ENVIRONMENT, "auto") or "auto"
    if named not in get_args(Backend):
        raise KernelError(f"wanted a backend of {', '.join(get_args(Backend))}; found {named!r}")
    if named == "reference":
        return "reference"
    if named == "auto":
        return _automatic(operand, features)
    if operand.dtype not in (torch.float32, *_HALF):
        if requested == "auto":
            return "reference"
        raise KernelError(f"backend {named!r} wants float32, float16 or bfloat16; found {operand.dtype}")
    if named == "cpu":
        if operand.device.type != "cpu":
            raise KernelError(f"backend 'cpu' wants CPU tensors; found {operand.device}")
        return "cpu"
    if not triton_installed():
        raise KernelError("backend 'triton' wants the triton package; found none; try backend='auto'")
    if operand.device.type != "cuda" and not triton_interpreted():
        raise KernelError(
            f"backend 'triton' wants CUDA tensors; found {operand.device}; "
            "try TRITON_INTERPRET=1 to run the kernels on a CPU, slowly"
        )
    return "triton"


def _automatic(operand: Tensor, features: int | None) -> Chosen:
    if operand.dtype not in (torch.float32, *_HALF):
        return "reference"
    if operand.device.type == "cpu":
        return "reference" if features is not None and features <= FEW_FEATURES else "cpu"
    if operand.device.type == "cuda" and triton_installed():
        return "triton"
    return "reference"


def triton_installed() -> bool:
    """Whether triton can be imported (it has no wheel for macOS and Windows)."""
    return importlib.util.find_spec("triton") is not None


def triton_interpreted() -> bool:
    """Whether Triton kernels run on CPU tensors through its interpreter."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"
