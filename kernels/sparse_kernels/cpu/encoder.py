"""encode_topk on a CPU: tiles of features through a dense product, the k best of each row kept meanwhile.

Where the processor multiplies bfloat16 in hardware, a product in bfloat16 finds candidates and float32 decides;
the margin between the two is a bound on the rounding, not a guess, and rows that it cannot settle go the long way.
"""

import functools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu import product
from sparse_kernels.cpu.compiled import by_rows, kernel_module
from sparse_kernels.cpu.workspace import workspace

ROWS = 4096
"""Rows encoded together, which bounds the scratch memory."""
PROBE = 1024
"""Rows screened first; where more than a quarter of them cannot be settled the rest skips the screening."""
FEWEST = 256
"""Rows that repay the conversion of the weights to bfloat16."""


def encode_topk(x: Tensor, weight: Tensor, bias: Tensor | None, k: int, relu: bool) -> tuple[Tensor, Tensor]:
    """index [n k] and value [n k], largest first; tiles of features, never all of them."""
    index = torch.empty(x.shape[0], k, dtype=torch.int64)
    value = torch.empty(x.shape[0], k)
    screening = relu and screening_pays(x.shape[0], weight.shape[0], k)
    lengths = _lengths(weight) if screening else None
    start = 0
    while start < x.shape[0]:
        part = slice(start, start + (PROBE if screening and start == 0 else ROWS))
        if screening and lengths is not None:
            failed = _screen(x[part], weight, bias, lengths, index[part], value[part])
            rows = failed + start
            if len(rows):
                index[rows], value[rows] = _encode_all(x[rows], weight, bias, k, relu)
            screening = start > 0 or 4 * len(rows) <= len(x[part])
        else:
            _encode_rows(x[part], weight, bias, index[part], value[part], relu)
        start = part.stop
    return index, value


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for products in bfloat16 and PyTorch uses them."""
    return torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported()


def screening_pays(rows: int, features: int, k: int) -> bool:
    """Few candidates among many features, and rows enough to repay the conversion of the weights."""
    return multiplies_bfloat16() and rows >= FEWEST and features >= 16 * k and features >= 1024


def _encode_all(x: Tensor, weight: Tensor, bias: Tensor | None, k: int, relu: bool) -> tuple[Tensor, Tensor]:
    index = torch.empty(x.shape[0], k, dtype=torch.int64)
    value = torch.empty(x.shape[0], k)
    for start in range(0, x.shape[0], ROWS):
        part = slice(start, start + ROWS)
        _encode_rows(x[part], weight, bias, index[part], value[part], relu)
    return index, value


def _encode_rows(x: Tensor, weight: Tensor, bias: Tensor | None, index: Tensor, value: Tensor, relu: bool) -> None:
    """Float32 throughout."""
    n, k = index.shape
    keys = workspace.array("keys", (n, kernel_module("topk").buffer_width(k)), np.int64)
    counts = workspace.array("counts", (n,), np.int64)
    floors = workspace.array("floors", (n,), np.int32)
    counts.fill(0)
    floors.fill(0)
    for first, scores in product.score_tiles(x, weight, bias):
        tile = scores.numpy()
        by_rows("topk", "scan_rows", (tile, tile.view(np.int32), first, k, keys, counts, floors, relu), n)
    by_rows("topk", "finish_rows", (keys, counts, index.numpy(), value.numpy().view(np.int32)), n)


def _screen(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    lengths: tuple[float, float],
    index: Tensor,
    value: Tensor,
) -> Tensor:
    """Write the rows that bfloat16 candidates settle; returns the others."""
    n, k = index.shape
    kernels = kernel_module("screening")
    offset = torch.zeros(len(weight)) if bias is None else bias
    bounds = _rounding_bounds(x, lengths, float(offset.abs().max()))
    keys = workspace.array("keys", (n, kernels.buffer_width(k)), np.int64)
    counts = workspace.array("counts", (n,), np.int64)
    floors = workspace.array("floors_bfloat16", (n,), np.int16)
    counts[:] = np.where(np.isfinite(bounds), 0, kernels.FAILED)
    floors.fill(0)
    for first, scores in _rough_tiles(x, weight, offset):
        by_rows("screening", "scan_candidates", (scores, first, k, bounds, keys, counts, floors), n)
    found = (index.numpy(), value.numpy().view(np.int32))
    operands = (x.numpy(), weight.numpy(), offset.numpy(), bounds, keys, counts, *found)
    by_rows("screening", "finish_candidates", operands, n)
    return torch.from_numpy(np.flatnonzero(counts == kernels.FAILED))


def _rough_tiles(x: Tensor, weight: Tensor, bias: Tensor) -> Iterator[tuple[int, np.ndarray]]:
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


def _bfloat16(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(workspace.array(name, shape, np.int16)).view(torch.bfloat16)


def _lengths(weight: Tensor) -> tuple[float, float]:
    """The largest length of a row, and of what rounding one to bfloat16 leaves over."""
    lengths, residuals = np.empty(len(weight), np.float32), np.empty(len(weight), np.float32)
    by_rows("screening", "norms", (weight.numpy(), lengths, residuals), len(weight))
    return float(lengths.max()), float(residuals.max())


def _rounding_bounds(x: Tensor, lengths: tuple[float, float], largest_bias: float) -> np.ndarray:
    """How far each row's bfloat16 scores can be from their float32 values, roundings in proportion to them apart.

    With x = x' + r and w = w' + s, |x.w - x'.w'| <= |r| |w| + |x'| |s| (Cauchy-Schwarz, with measured lengths);
    to that come float32 sums of d terms on either side, the bias's own roundings, and flushed denormals.
    """
    n, d = x.shape
    length, residual = np.empty(n, np.float32), np.empty(n, np.float32)
    by_rows("screening", "norms", (x.numpy(), length, residual), n)
    longest, longest_residual = lengths
    sums = 2 * d * 2.0**-24 * length * longest
    bias = 3 * 2.0**-8 * largest_bias
    with np.errstate(over="ignore", invalid="ignore"):
        bounds = 1.01 * (residual * longest + (length + residual) * longest_residual + sums + bias)
        return (bounds + 1e-37 * d * (1 + longest + length)).astype(np.float32)
