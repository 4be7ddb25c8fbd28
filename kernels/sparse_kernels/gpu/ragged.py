"""The Triton path's ragged selections: entries of each tile, cut and put in order with PyTorch's own sorts."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from sparse_kernels.gpu import launch, selection

ROWS = 16384
"""Rows encoded together, which bounds the scores held at a time."""


class Hits(NamedTuple):
    """Entries as (row times features plus feature, value), in any order."""

    position: Tensor
    value: Tensor


def encode_threshold(x: Tensor, weight: Tensor, bias: Tensor | None, cutoffs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(index [m], value [m], offsets [n + 1]): scores above their feature's cutoff [f], and NaN, by rising feature."""
    hits = [_hits(row, first, scores, cutoffs) for row, first, scores in _tiles(x, weight, bias)]
    return _by_row(_joined(hits), len(x), len(weight))


def encode_batch_topk(x: Tensor, weight: Tensor, bias: Tensor | None, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """(index [m], value [m], offsets [n + 1]): the n k largest positive scores, by rising feature within a row."""
    wanted = len(x) * k
    cutoffs = torch.zeros(len(weight), device=x.device)
    hits: list[Hits] = []
    held = kept = 0
    for row, first, scores in _tiles(x, weight, bias):
        hits.append(_hits(row, first, scores, cutoffs))
        held += len(hits[-1].value)
        if held > kept + wanted:
            hits = [_largest(_joined(hits), wanted)]
            held = kept = len(hits[0].value)
            if kept == wanted:
                _raise(cutoffs, hits[0].value)
    return _by_row(_largest(_joined(hits), wanted), len(x), len(weight))


def _tiles(x: Tensor, weight: Tensor, bias: Tensor | None) -> Iterator[tuple[int, int, Tensor]]:
    """(first row, first feature, scores); a tile is overwritten by the next."""
    for row in range(0, len(x), ROWS):
        part = x[row : row + ROWS]
        width = launch.score_width(len(part), len(weight))
        buffer = torch.empty(len(part) * width, device=x.device)
        for first in range(0, len(weight), width):
            tile = weight[first : first + width]
            scores = buffer[: len(part) * len(tile)].view(len(part), len(tile))
            if bias is None:
                torch.mm(part, tile.T, out=scores)
            else:
                torch.addmm(bias[first : first + width], part, tile.T, out=scores)
            yield row, first, scores


def _hits(row: int, first: int, scores: Tensor, cutoffs: Tensor) -> Hits:
    n, width = scores.shape
    own = cutoffs[first : first + width]
    shape = launch.passing(width)
    counts = torch.empty(n, dtype=torch.int64, device=scores.device)
    launch.start(selection.count_above, (n,), scores, own, counts, width, **shape.options)
    begins = torch.zeros(n + 1, dtype=torch.int64, device=scores.device)
    torch.cumsum(counts, 0, out=begins[1:])
    found = int(begins[-1])
    index = torch.empty(found, dtype=torch.int64, device=scores.device)
    value = torch.empty(found, device=scores.device)
    launch.start(selection.write_above, (n,), scores, own, begins, index, value, width, first, **shape.options)
    rows = torch.repeat_interleave(torch.arange(row, row + n, device=scores.device), counts, output_size=found)
    return Hits(index.add_(rows.mul_(len(cutoffs))), value)


def _joined(hits: list[Hits]) -> Hits:
    return Hits(torch.cat([each.position for each in hits]), torch.cat([each.value for each in hits]))


def _largest(hits: Hits, wanted: int) -> Hits:
    """The `wanted` largest, NaN first of all, ties to the lowest position."""
    if len(hits.value) <= wanted:
        return hits
    order = torch.sort(hits.position).indices
    best = torch.sort(hits.value[order], descending=True, stable=True).indices[:wanted]
    chosen = order[best]
    return Hits(hits.position[chosen], hits.value[chosen])


def _raise(cutoffs: Tensor, values: Tensor) -> None:
    """To just below the smallest value, so that its equals still pass; infinity where all are NaN."""
    smallest = values[-1].nan_to_num(nan=torch.inf, posinf=torch.inf)
    below = torch.nextafter(smallest, torch.zeros_like(smallest))
    cutoffs.copy_(torch.where(values[-1].isnan(), smallest, below))


def _by_row(hits: Hits, rows: int, features: int) -> tuple[Tensor, Tensor, Tensor]:
    position, order = torch.sort(hits.position)
    ends = torch.arange(rows + 1, device=position.device) * features
    offsets = torch.searchsorted(position, ends)
    return position % features, hits.value[order], offsets
