"""Block sizes and warps of each kernel, chosen from the shape of the call."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

LARGEST_K = 1024
"""Above this a row's candidates no longer fit the registers; the reference serves."""
SCORE_BYTES = 64 << 20
"""Scores held at a time: a tile of features for all rows of a block."""


@dataclass(frozen=True)
class Launch:
    """Compile-time constants and options of one launch."""

    constants: dict[str, int]
    warps: int
    options: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", {**self.constants, "num_warps": self.warps})


def power_of_two(size: int) -> int:
    """The smallest power of two that is not below `size`."""
    return 1 << max(0, size - 1).bit_length()


def selection(k: int, width: int) -> Launch:
    """`select_tile`: chunks of 1024 scores, 8 to a thread, keep the sort in registers."""
    kept = max(2, power_of_two(k))
    chunk = max(kept, min(1024, power_of_two(width)))
    return Launch({"K": kept, "CHUNK": chunk}, warps=4 if chunk <= 1024 else 8)


def passing(width: int) -> Launch:
    """`count_above`, `write_above`: chunks of 1024 scores, 8 to a thread."""
    chunk = max(32, min(1024, power_of_two(width)))
    return Launch({"CHUNK": chunk}, warps=max(1, chunk // 256))


def rows_of(d: int, k: int) -> Launch:
    """`gather_sum`, `gather_dot`, `scatter_sum`: a patch of rows x columns, 16 elements to a thread."""
    columns = min(256, max(16, power_of_two(d)))
    slots = min(16, max(2, power_of_two(k)))
    return Launch({"SLOTS": slots, "COLUMNS": columns}, warps=max(1, min(8, slots * columns // 512)))


def row_blocks(d: int) -> Launch:
    """`row_sparse_adam`, `unit_norm`, `remove_radial`: stretches of one row, 4 elements to a thread."""
    columns = min(1024, max(32, power_of_two(d)))
    return Launch({"COLUMNS": columns}, warps=max(1, columns // 128))


def score_width(rows: int, features: int) -> int:
    """Features of a tile: as many as fit SCORE_BYTES, in whole chunks of 1024."""
    fitting = SCORE_BYTES // (4 * max(rows, 1)) // 1024 * 1024
    return min(features, max(1024, fitting))


def start(kernel: Any, grid: tuple[int, ...], first: Tensor, *operands: object, **options: object) -> None:
    """Launch on the device that holds the operands, which need not be the current one."""
    with torch.cuda.device_of(first):
        kernel[grid](first, *operands, enable_fp_fusion=True, **options)
