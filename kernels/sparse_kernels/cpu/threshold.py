"""encode_threshold on a CPU: tiles of features through a dense product, what passes is kept.

Where the processor multiplies bfloat16 and few scores pass, a product in bfloat16 finds those that may and float32
decides. Each tile with many falls back to float32, and so do the tiles after it.
"""

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu import product, rough
from sparse_kernels.cpu.batch_topk import LARGEST_BOUND
from sparse_kernels.cpu.chunks import Chunk, collect, join, settled
from sparse_kernels.cpu.encoder import ROWS

FEW = 1 / 16
"""Share of a tile's scores up to which computing them one by one beats the whole product in float32."""


def encode_threshold(x: Tensor, weight: Tensor, bias: Tensor | None, cutoffs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(index [m], value [m], offsets [n + 1]): scores above their feature's cutoff [f], and NaN, by rising feature."""
    limits = cutoffs.numpy()
    chunks: list[Chunk] = []
    bounds = _bounds(x, weight, bias)
    for row in range(0, len(x), ROWS):
        part = x[row : row + ROWS]
        first = 0
        if bounds is not None:
            first = _screen(part, weight, bias, limits, bounds[row : row + ROWS], row, chunks)
        rest = None if bias is None else bias[first:]
        for at, scores in product.score_tiles(part, weight[first:], rest):
            chunks.append(collect(scores.numpy(), first + at, row, limits))
    return join(chunks, len(x))


def _bounds(x: Tensor, weight: Tensor, bias: Tensor | None) -> np.ndarray | None:
    """How far bfloat16 may be off in each row; None where it is not worth trying."""
    if not rough.screening_pays(len(x), len(weight), 1):
        return None
    largest = 0.0 if bias is None else float(bias.abs().max())
    bounds = rough.rounding_bounds(x, rough.lengths(weight), largest)
    return bounds if (bounds < LARGEST_BOUND).all() else None


def _screen(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    limits: np.ndarray,
    bounds: np.ndarray,
    row: int,
    chunks: list[Chunk],
) -> int:
    """Append the chunks that bfloat16 candidates settle cheaply; returns the first feature that is left over."""
    offset = torch.zeros(len(weight)) if bias is None else bias
    for first, scores in rough.tiles(x, weight, offset):
        candidates = collect(scores, first, row, limits, bounds)
        if len(candidates.entries) > FEW * scores.size:
            return first
        chunks.append(settled(candidates, x, weight, offset, limits))
    return len(weight)
