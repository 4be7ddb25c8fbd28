"""The Triton path's operations on float32 tensors: no checks, no autograd, no padding of dtypes."""

import torch
from torch import Tensor

from sparse_kernels import reference
from sparse_kernels.gpu import launch, rows, topk
from sparse_kernels.gpu.ragged import encode_batch_topk as encode_batch_topk, encode_threshold as encode_threshold

ROWS = 16384
"""Rows encoded together, which bounds the scores held at a time."""


def encode_topk(
    x: Tensor, weight: Tensor, bias: Tensor | None, k: int, relu: bool, groups: int
) -> tuple[Tensor, Tensor]:
    """index and value [n, groups k], largest first in each group; tiles of features, never all of them."""
    if k > launch.LARGEST_K:
        return reference.encode_topk(x, weight, bias, k, relu=relu, groups=groups)
    index = torch.empty(x.shape[0], groups * k, dtype=torch.int64, device=x.device)
    value = torch.empty(x.shape[0], groups * k, device=x.device)
    size = len(weight) // groups
    for start in range(0, x.shape[0], ROWS):
        part = slice(start, start + ROWS)
        together = max(1, launch.score_width(len(x[part]), len(weight)) // size)
        for group in range(0, groups, together):
            slots = slice(group * k, (group + together) * k)
            features = slice(group * size, (group + together) * size)
            own = None if bias is None else bias[features]
            found = _encode_groups(x[part], weight[features], own, k, relu, size)
            index[part, slots] = found[0].add_(features.start)
            value[part, slots] = found[1]
    return index, value


def _encode_groups(
    x: Tensor, weight: Tensor, bias: Tensor | None, k: int, relu: bool, size: int
) -> tuple[Tensor, Tensor]:
    """The k best of each row and group, [n, groups k]: several groups in one tile, or one group in several tiles."""
    n, groups = len(x), len(weight) // size
    width = len(weight) if groups > 1 else launch.score_width(n, size)
    shape = launch.selection(k, min(width, size))
    kept = torch.empty(n * groups, shape.constants["K"], dtype=torch.int64, device=x.device)
    buffer = torch.empty(n * width, device=x.device)
    for first in range(0, len(weight), width):
        tile = weight[first : first + width]
        scores = buffer[: n * len(tile)].view(n, len(tile))
        if bias is None:
            torch.mm(x, tile.T, out=scores)
        else:
            torch.addmm(bias[first : first + width], x, tile.T, out=scores)
        launch.start(
            topk.select_tile,
            (n * groups,),
            scores,
            kept,
            len(tile) // groups,
            first,
            groups,
            FRESH=not first,
            RELU=relu,
            **shape.options,
        )
    index = torch.empty(n, groups * k, dtype=torch.int64, device=x.device)
    value = torch.empty(n, groups * k, device=x.device)
    launch.start(topk.write_codes, (n * groups,), kept, index, value, k, K=shape.constants["K"])
    return index, value


def gather_sum(index: Tensor, value: Tensor, weight: Tensor, offsets: Tensor | None) -> Tensor:
    """out[i] = sum of value[e] * weight[index[e]] over row i's entries."""
    ends, mean = _offsets(index, offsets)
    n, d = len(ends) - 1, weight.shape[1]
    out = torch.empty(n, d, device=weight.device)
    shape = launch.rows_of(d, mean)
    grid = (n, -(-d // shape.constants["COLUMNS"]))
    launch.start(rows.gather_sum, grid, index, value, ends, weight, out, d, **shape.options)
    return out


def gather_dot(index: Tensor, source: Tensor, weight: Tensor, offsets: Tensor | None) -> Tensor:
    """out[e] = source[i] . weight[index[e]] for row i's entries."""
    ends, mean = _offsets(index, offsets)
    d = weight.shape[1]
    out = torch.empty(index.shape, device=weight.device)
    shape = launch.rows_of(d, mean)
    grid = (len(ends) - 1, -(-mean // shape.constants["SLOTS"]))
    launch.start(rows.gather_dot, grid, index, ends, source, weight, out, d, **shape.options)
    return out


def scatter_sum(
    index: Tensor, coefficient: Tensor, source: Tensor, features: int, offsets: Tensor | None
) -> tuple[Tensor, Tensor]:
    """out[f] = sum of coefficient[e] * source[i] over entries with index f, and the sum without source."""
    d = source.shape[1]
    out = torch.empty(features, d, device=source.device)
    sums = torch.empty(features, device=source.device)
    ordered, entries = torch.sort(index.reshape(-1), stable=True)
    begins = torch.searchsorted(ordered, torch.arange(features + 1, device=index.device))
    owners = torch.searchsorted(_offsets(index, offsets)[0][1:], entries, right=True)
    shape = launch.rows_of(d, index.numel() // features + 1)
    grid = (features, -(-d // shape.constants["COLUMNS"]))
    flat = coefficient.reshape(-1)
    launch.start(rows.scatter_sum, grid, begins, entries, owners, flat, source, out, sums, d, **shape.options)
    return out, sums


def _offsets(index: Tensor, offsets: Tensor | None) -> tuple[Tensor, int]:
    """Where each row's entries begin, also of codes [n k], and how many a row has on average, rounded up."""
    if offsets is None:
        return torch.arange(len(index) + 1, device=index.device) * index.shape[1], index.shape[1]
    return offsets, max(1, -(-len(index) // max(1, len(offsets) - 1)))
