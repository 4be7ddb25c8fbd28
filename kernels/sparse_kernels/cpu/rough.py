"""Scores in bfloat16, and how far they can be from their float32 values: a bound on the rounding, not a guess."""

import functools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu import product
from sparse_kernels.cpu.compiled import by_rows
from sparse_kernels.cpu.workspace import workspace
from sparse_kernels.precision import bfloat16_candidates

FEWEST = 256
"""Rows that repay the conversion of the weights to bfloat16."""


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products in bfloat16 and PyTorch uses them."""
    return torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported()


def screening_pays(rows: int, features: int, k: int) -> bool:
    """Few candidates among many features, and rows enough to repay the conversion of the weights."""
    possible = bfloat16_candidates() and multiplies_bfloat16()
    return possible and rows >= FEWEST and features >= 16 * k and features >= 1024


def tiles(x: Tensor, weight: Tensor, bias: Tensor) -> Iterator[tuple[int, np.ndarray]]:
    """(first feature, bits of bfloat16 scores [n, tile]); a tile is overwritten by the next."""
    rough_x = _bfloat16("rough_x", tuple(x.shape)).copy_(x)
    rough_bias = bias.bfloat16()
    width = product.tile_width(len(x), size=2)
    for first in range(0, len(weight), width):
        rows = weight[first : first + width]
        rough = _bfloat16("rough_weight", tuple(rows.shape)).copy_(rows)
        scores = _bfloat16("rough_scores", (len(x), len(rows)))
        torch.addmm(rough_bias[first : first + width], rough_x, rough.T, out=scores)
        yield first, scores.view(torch.int16).numpy()


def values(bits: np.ndarray) -> np.ndarray:
    """bfloat16 bits as float32."""
    return (bits.astype(np.int32) << 16).view(np.float32)


def _bfloat16(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(workspace.array(name, shape, np.int16)).view(torch.bfloat16)


def lengths(weight: Tensor) -> tuple[float, float]:
    """The largest length of a row, and of what rounding one to bfloat16 leaves over."""
    each, residuals = np.empty(len(weight), np.float32), np.empty(len(weight), np.float32)
    by_rows("screening", "norms", (weight.numpy(), each, residuals), len(weight))
    return float(each.max()), float(residuals.max())


def rounding_bounds(x: Tensor, weight_lengths: tuple[float, float], largest_bias: float) -> np.ndarray:
    """How far each row's bfloat16 scores can be from their float32 values, roundings in proportion to them apart.

    With x = x' + r and w = w' + s, |x.w - x'.w'| <= |r| |w| + |x'| |s| (Cauchy-Schwarz, with measured lengths);
    to that come float32 sums of d terms on either side, the bias's own roundings, and flushed denormals.
    """
    n, d = x.shape
    length, residual = np.empty(n, np.float32), np.empty(n, np.float32)
    by_rows("screening", "norms", (x.numpy(), length, residual), n)
    longest, longest_residual = weight_lengths
    sums = 2 * d * 2.0**-24 * length * longest
    bias = 3 * 2.0**-8 * largest_bias
    with np.errstate(over="ignore", invalid="ignore"):
        bounds = 1.01 * (residual * longest + (length + residual) * longest_residual + sums + bias)
        return (bounds + 1e-37 * d * (1 + longest + length)).astype(np.float32)
