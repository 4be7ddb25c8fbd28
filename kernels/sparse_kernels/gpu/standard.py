"""The standard shape of every Triton kernel: what it is compiled and judged at without a GPU.

A module of kernels ends in a tuple STANDARD with one entry for each of its kernels; `compiled.py` finds it there.
"""

from dataclasses import dataclass, field
from typing import Any

from sparse_kernels.gpu.launch import Launch

ROWS, FEATURES, WIDTH, K = 4096, 18432, 576, 32
"""Rows, features, d and k of the standard shape."""

FLOATS, INTEGERS, NUMBER = "*fp32", "*i64", "i32"
"""Types of operands in Triton's notation; others are written out."""

H100_BYTES, H100_FLOPS, H100_TENSOR_FLOPS = 3.35e12, 67e12, 989e12
"""An H100 SXM's bytes from memory, float32 operations, and bfloat16 operations of its tensor cores in a second."""


@dataclass(frozen=True)
class Standard:
    """One kernel at the standard shape.

    Attributes:
        kernel: the `triton.jit` function.
        signature: operand -> type, in the order of the kernel's operands, constants left out.
        launch: block sizes and warps, as the operation chooses them at this shape.
        constants: constants that `launch` does not hold.
        floor_bytes, floor_flops: what all launches of this shape together cannot do without.
        tensor_cores: whether the operations may run on tensor cores.
    """

    kernel: Any
    signature: dict[str, str]
    launch: Launch
    constants: dict[str, int | bool] = field(default_factory=dict)
    floor_bytes: float = 0.0
    floor_flops: float = 0.0
    tensor_cores: bool = False

    @property
    def name(self) -> str:
        return self.kernel.__name__

    @property
    def h100_ms(self) -> float:
        """Milliseconds that an H100 needs at least."""
        peak = H100_TENSOR_FLOPS if self.tensor_cores else H100_FLOPS
        return 1e3 * max(self.floor_bytes / H100_BYTES, self.floor_flops / peak)

    def all_constants(self) -> dict[str, int | bool]:
        """Every compile-time constant that the kernel names."""
        given = {**self.launch.constants, **self.constants}
        return {name: value for name, value in given.items() if name in self.kernel.arg_names}
