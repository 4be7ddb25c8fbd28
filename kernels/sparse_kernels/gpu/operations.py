"""The Triton path's operations on float32 tensors: no checks, no autograd, no padding of dtypes."""

import torch
from torch import Tensor

from sparse_kernels import reference
from sparse_kernels.gpu import launch, rows, topk

ROWS = 16384
"""Rows encoded together, which bounds the scores held at a time."""


def encode_topk(x: Tensor, weight: Tensor, bias: Tensor | None, k: int, relu: bool) -> tuple[Tensor, Tensor]:
    """index [n k] and value [n k], largest first; tiles of features, never all of them."""
    if k > launch.LARGEST_K:
        return reference.encode_topk(x, weight, bias, k, relu=relu)
    index = torch.empty(x.shape[0], k, dtype=torch.int64, device=x.device)
    value = torch.empty(x.shape[0], k, device=x.device)
    for start in range(0, x.shape[0], ROWS):
        part = slice(start, start + ROWS)
        _encode_rows(x[part], weight, bias, index[part], value[part], relu)
    return index, value


def _encode_rows(x: Tensor, weight: Tensor, bias: Tensor | None, index: Tensor, value: Tensor, relu: bool) -> None:
    n, k, features = x.shape[0], index.shape[1], weight.shape[0]
    width = launch.score_width(n, features)
    shape = launch.selection(k, width)
    kept = torch.empty(n, shape.constants["K"], dtype=torch.int64, device=x.device)
    buffer = torch.empty(n * width, device=x.device)
    for first in range(0, features, width):
        tile = weight[first : first + width]
        scores = buffer[: n * len(tile)].view(n, len(tile))
        if bias is None:
            torch.mm(x, tile.T, out=scores)
        else:
            torch.addmm(bias[first : first + width], x, tile.T, out=scores)
        launch.start(
            topk.select_tile, (n,), scores, kept, len(tile), first, FRESH=not first, RELU=relu, **shape.options
        )
    launch.start(topk.write_codes, (n,), kept, index, value, k, K=shape.constants["K"])


def gather_sum(index: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    """out[i] = sum over j of value[i, j] * weight[index[i, j]]."""
    n, k, d = *index.shape, weight.shape[1]
    out = torch.empty(n, d, device=weight.device)
    shape = launch.rows_of(d, k)
    grid = (n, -(-d // shape.constants["COLUMNS"]))
    launch.start(rows.gather_sum, grid, index, value, weight, out, k, d, **shape.options)
    return out


def gather_dot(index: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    """out[i, j] = source[i] . weight[index[i, j]]."""
    n, k, d = *index.shape, weight.shape[1]
    out = torch.empty(n, k, device=weight.device)
    shape = launch.rows_of(d, k)
    grid = (n, -(-k // shape.constants["SLOTS"]))
    launch.start(rows.gather_dot, grid, index, source, weight, out, k, d, **shape.options)
    return out


def scatter_sum(index: Tensor, coefficient: Tensor, source: Tensor, features: int) -> tuple[Tensor, Tensor]:
    """out[f] = sum of coefficient[i, j] * source[i] where index[i, j] = f, and the sum without source."""
    k, d = index.shape[1], source.shape[1]
    out = torch.empty(features, d, device=source.device)
    sums = torch.empty(features, device=source.device)
    ordered, entries = torch.sort(index.reshape(-1), stable=True)
    begins = torch.searchsorted(ordered, torch.arange(features + 1, device=index.device))
    shape = launch.rows_of(d, index.numel() // features + 1)
    grid = (features, -(-d // shape.constants["COLUMNS"]))
    flat = coefficient.reshape(-1)
    launch.start(rows.scatter_sum, grid, begins, entries, flat, source, out, sums, k, d, **shape.options)
    return out, sums
