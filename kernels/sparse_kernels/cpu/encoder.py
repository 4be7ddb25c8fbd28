"""encode_topk on a CPU: tiles of features through a dense product, the k best of each row kept meanwhile.

Where the processor multiplies bfloat16 in hardware, a product in bfloat16 finds candidates and float32 decides;
the margin between the two is a bound on the rounding, not a guess, and rows that it cannot settle go the long way.
"""

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu import product, rough
from sparse_kernels.cpu.compiled import by_rows, kernel_module
from sparse_kernels.cpu.workspace import workspace

ROWS = 4096
"""Rows encoded together, which bounds the scratch memory."""
PROBE = 1024
"""Rows screened first; where more than a quarter of them cannot be settled the rest skips the screening."""
LARGE_GROUP = 1024
"""Features of a group from which each goes through a product of its own."""


def encode_topk(
    x: Tensor, weight: Tensor, bias: Tensor | None, k: int, relu: bool, groups: int
) -> tuple[Tensor, Tensor]:
    """index and value [n, groups k], largest first in each group; tiles of features, never all of them."""
    index = torch.empty(x.shape[0], groups * k, dtype=torch.int64)
    value = torch.empty(x.shape[0], groups * k)
    size = weight.shape[0] // groups
    if groups > 1 and size < LARGE_GROUP:
        _encode_small_groups(x, weight, bias, k, relu, size, index, value)
        return index, value
    for group in range(groups):
        part, slots = slice(group * size, (group + 1) * size), slice(group * k, (group + 1) * k)
        own = None if bias is None else bias[part]
        if groups == 1:
            _encode(x, weight, own, relu, index, value)
        else:
            found = torch.empty(x.shape[0], k, dtype=torch.int64), torch.empty(x.shape[0], k)
            _encode(x, weight[part], own, relu, *found)
            index[:, slots] = found[0].add_(part.start)
            value[:, slots] = found[1]
    return index, value


def _encode(x: Tensor, weight: Tensor, bias: Tensor | None, relu: bool, index: Tensor, value: Tensor) -> None:
    # a row is settled only where its k best are positive, and there it makes no difference what ReLU does to the rest
    screening = rough.screening_pays(x.shape[0], weight.shape[0], index.shape[1])
    lengths = rough.lengths(weight) if screening else None
    start = 0
    while start < x.shape[0]:
        part = slice(start, start + (PROBE if screening and start == 0 else ROWS))
        if screening and lengths is not None:
            failed = _screen(x[part], weight, bias, lengths, index[part], value[part])
            rows = failed + start
            if len(rows):
                index[rows], value[rows] = _encode_all(x[rows], weight, bias, index.shape[1], relu)
            screening = start > 0 or 4 * len(rows) <= len(x[part])
        else:
            _encode_rows(x[part], weight, bias, index[part], value[part], relu)
        start = part.stop


def _encode_small_groups(
    x: Tensor, weight: Tensor, bias: Tensor | None, k: int, relu: bool, size: int, index: Tensor, value: Tensor
) -> None:
    """Float32 throughout, in tiles of whole groups."""
    for start in range(0, x.shape[0], ROWS):
        part = slice(start, start + ROWS)
        found = index[part].numpy(), value[part].numpy().view(np.int32)
        for first, scores in product.score_tiles(x[part], weight, bias, multiple=size):
            tile = scores.numpy()
            operands = (tile, tile.view(np.int32), first, size, relu, k, *found)
            by_rows("groups", "select_groups", operands, len(tile))


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
    bounds = rough.rounding_bounds(x, lengths, float(offset.abs().max()))
    keys = workspace.array("keys", (n, kernels.buffer_width(k)), np.int64)
    counts = workspace.array("counts", (n,), np.int64)
    floors = workspace.array("floors_bfloat16", (n,), np.int16)
    counts[:] = np.where(np.isfinite(bounds), 0, kernels.FAILED)
    floors.fill(0)
    for first, scores in rough.tiles(x, weight, offset):
        by_rows("screening", "scan_candidates", (scores, first, k, bounds, keys, counts, floors), n)
    found = (index.numpy(), value.numpy().view(np.int32))
    operands = (x.numpy(), weight.numpy(), offset.numpy(), bounds, keys, counts, *found)
    by_rows("screening", "finish_candidates", operands, n)
    return torch.from_numpy(np.flatnonzero(counts == kernels.FAILED))
