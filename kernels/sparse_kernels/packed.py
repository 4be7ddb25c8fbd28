"""PackedWeight: a weight that does not change, laid out once for the product that is fast on this processor."""

import functools
import platform
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sparse_kernels.cpu.product import linear_packed, pack, prefers_onednn
from sparse_kernels.operands import check_matrix

ROWS = 2048
"""Rows that the layout is made for; it serves fewer and more as well."""

_FUSED = {"none": ("none", ""), "silu": ("swish", ""), "gelu": ("gelu", "none"), "gelu_tanh": ("gelu", "tanh")}


@functools.cache
def packing_pays(dtype: torch.dtype) -> bool:
    """Whether a packed weight makes the fastest product of this dtype here; by processor and build, never by a timing.

    float32: where PyTorch's own choice (MKL) runs at half of oneDNN's speed. bfloat16: wherever an x86 processor
    multiplies it natively, since PyTorch's own product lays the weight out anew at every call. Elsewhere nothing has
    been measured, and nothing is packed.
    """
    if dtype == torch.float32:
        return prefers_onednn()
    if dtype != torch.bfloat16 or platform.machine() not in ("x86_64", "AMD64"):
        return False
    return can_pack(dtype)


@functools.cache
def can_pack(dtype: torch.dtype) -> bool:
    """Whether this build and processor have oneDNN's packed product of a dtype at all."""
    if not torch.backends.mkldnn.is_available() or dtype not in (torch.float32, torch.bfloat16):
        return False
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        weight = torch.eye(8, dtype=dtype)
        return bool(torch.equal(linear_packed(weight, pack(weight, ROWS), None), weight))
    except (RuntimeError, AttributeError, NotImplementedError):
        return False


class PackedWeight:
    """x @ weight.T + bias with `weight` in oneDNN's own layout; gradients flow to x, to any order.

    The weight counts as constant: it gets no gradient, and a later change of it goes unseen. Takes as much memory
    again as the weight (`nbytes`). The backward product reads the plain weight, so it takes no more.

    Raises: KernelError for a weight that is no matrix.
    """

    def __init__(self, weight: Float[Tensor, "e d"]) -> None:
        check_matrix("weight", weight, "one row for each output, [e, d]")
        self.plain = weight.detach()
        self._packed = pack(self.plain.contiguous(), ROWS)

    @property
    def nbytes(self) -> int:
        return self.plain.numel() * self.plain.element_size()

    def __call__(self, x: Float[Tensor, "*n d"], bias: Float[Tensor, " e"] | None = None) -> Float[Tensor, "*n e"]:
        if torch.is_grad_enabled() and x.requires_grad:
            return _Product.apply(x, self._packed, self.plain, bias)  # pyright: ignore[reportReturnType]
        return linear_packed(x, self._packed, bias)

    def activated(
        self, x: Float[Tensor, "n d"], bias: Float[Tensor, " e"] | None, activation: str
    ) -> Float[Tensor, "n e"]:
        """An activation (`none`, `silu`, `gelu`, `gelu_tanh`) of the product, applied before it is stored; no autograd.

        In bfloat16 this rounds once where the product and then the activation round twice.
        """
        name, algorithm = _FUSED[activation]
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, bias, name, [], algorithm)

    def times(
        self, x: Float[Tensor, "n d"], bias: Float[Tensor, " e"] | None, factor: Float[Tensor, "n e"]
    ) -> Float[Tensor, "n e"]:
        """The product, multiplied by `factor` before it is stored; no autograd."""
        return torch.ops.mkldnn._linear_pointwise.binary(x, factor, self._packed, bias, "mul")


class _Product(torch.autograd.Function):
    """The gradient of a linear map is a linear map: backward is the same function with the weight turned."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, plain: Tensor, bias: Tensor | None) -> Tensor:
        ctx.plain = plain
        return linear_packed(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        turned = ctx.plain.T
        return _Product.apply(upstream, turned, turned, None), None, None, None  # pyright: ignore[reportReturnType]
