"""Ragged hits as they come, tile by tile: collected, cut down, written out row by row."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu.compiled import by_rows, kernel_module
from sparse_kernels.cpu.workspace import workspace


class Chunk(NamedTuple):
    """The hits of a block of rows in one tile of features: entries[begins[i] : begins[i + 1]] are row i's."""

    row: int
    begins: np.ndarray
    entries: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.begins) - 1


def collect(scores: np.ndarray, first: int, row: int, cutoffs: np.ndarray, bounds: np.ndarray | None = None) -> Chunk:
    """The entries of a tile above the cutoffs [f]: exactly (float32), or possibly (bfloat16 bits, with bounds [n])."""
    n, width = scores.shape
    entries = workspace.array("hits", (n * (width + kernel_module("ragged").LANES),), np.int64)
    begins, counts = np.empty(n, np.int64), np.empty(n, np.int64)
    cutoffs = cutoffs[first : first + width]
    if bounds is None:
        by_rows("ragged", "collect", (scores, scores.view(np.int32), first, cutoffs, entries, begins, counts), n)
    else:
        by_rows("ragged", "collect_rough", (scores, first, cutoffs, bounds, entries, begins, counts), n)
    return _packed(row, entries, begins, counts)


def _packed(row: int, entries: np.ndarray, begins: np.ndarray, counts: np.ndarray) -> Chunk:
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    packed = np.empty(starts[-1], np.int64)
    by_rows("ragged", "pack", (entries, begins, packed, starts), len(counts))
    return Chunk(row, starts, packed)


def settled(chunk: Chunk, x: Tensor, weight: Tensor, bias: Tensor, cutoffs: np.ndarray) -> Chunk:
    """The chunk with float32 scores in place of rough ones, less what is not above its feature's cutoff.

    `x` holds the chunk's rows only, in their order.
    """
    counts = np.empty(chunk.rows, np.int64)
    operands = (x.numpy(), weight.numpy(), bias.numpy(), cutoffs, chunk.begins, chunk.entries, counts)
    by_rows("ragged", "settle", operands, chunk.rows)
    return _packed(chunk.row, chunk.entries, chunk.begins, counts)


def sift_rough(chunk: Chunk, bounds: np.ndarray, cutoff: float) -> Chunk:
    """Less the rough entries that cannot be above the cutoff; bounds [n] of the chunk's rows."""
    counts = np.empty(chunk.rows, np.int64)
    by_rows("ragged", "sift_rough", (chunk.begins, chunk.entries, bounds, np.float32(cutoff), counts), chunk.rows)
    return _packed(chunk.row, chunk.entries, chunk.begins, counts)


def lowest_scores(chunk: Chunk, bounds: np.ndarray) -> np.ndarray:
    """The least that each rough entry's float32 score can be."""
    lowest = np.empty(len(chunk.entries), np.float32)
    by_rows("ragged", "lower_bounds", (chunk.begins, chunk.entries, bounds, lowest), chunk.rows)
    return lowest


def keep_largest(chunks: Sequence[Chunk], wanted: int) -> tuple[list[Chunk], int]:
    """The `wanted` largest of positive exact entries, ties to the lowest (row, feature), and the bits of the smallest.

    Chunks come block after block of rows, and tile after tile within a block. With too few entries they all stay,
    and the bits are 0.
    """
    bits = np.concatenate([chunk.entries.view(np.int32)[_HIGH::2] for chunk in chunks] or [np.empty(0, np.int32)])
    if len(bits) < wanted:
        return list(chunks), 0
    smallest = int(np.partition(bits, len(bits) - wanted)[len(bits) - wanted])
    left = wanted - int((bits > smallest).sum())
    kept = []
    for _, block in itertools.groupby(chunks, key=lambda chunk: chunk.row):
        block = list(block)
        ties = np.stack([_count_equal(chunk, smallest) for chunk in block], axis=1)
        before = np.cumsum(ties).reshape(ties.shape) - ties
        allowed = np.clip(left - before, 0, ties)
        left -= int(allowed.sum())
        for at, chunk in enumerate(block):
            counts = np.empty(chunk.rows, np.int64)
            quota = np.ascontiguousarray(allowed[:, at])
            by_rows("ragged", "sift", (chunk.begins, chunk.entries, smallest, quota, counts), chunk.rows)
            kept.append(_packed(chunk.row, chunk.entries, chunk.begins, counts))
    return kept, smallest


_HIGH = int(np.little_endian)


def _count_equal(chunk: Chunk, bits: int) -> np.ndarray:
    counts = np.empty(chunk.rows, np.int64)
    by_rows("ragged", "count_equal", (chunk.begins, chunk.entries, bits, counts), chunk.rows)
    return counts


def join(chunks: list[Chunk], rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """(index [m], value [m], offsets [rows + 1]), by rising feature within a row. Empties the list as it goes."""
    offsets = np.zeros(rows + 1, np.int64)
    for chunk in chunks:
        offsets[chunk.row + 1 : chunk.row + 1 + chunk.rows] += np.diff(chunk.begins)
    np.cumsum(offsets, out=offsets)
    index = torch.empty(int(offsets[-1]), dtype=torch.int64)
    value = torch.empty(int(offsets[-1]))
    places = offsets[:-1].copy()
    chunks.reverse()
    while chunks:
        chunk = chunks.pop()
        own = places[chunk.row : chunk.row + chunk.rows]
        bits = value.numpy().view(np.int32)
        by_rows("ragged", "write", (chunk.begins, chunk.entries, own, index.numpy(), bits), chunk.rows)
    return index, value, torch.from_numpy(offsets)
