"""encode_batch_topk on a CPU: tiles of features through a dense product, one rising cutoff for the whole batch.

Whatever `n * k` others beat is no longer looked at. As in `encoder`, a product in bfloat16 finds candidates where
the processor has one, and float32 decides: a candidate stays while its highest possible score is above the
`n * k`-th largest of the lowest possible ones. Where that leaves too many, float32 does it all.
"""

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu import product, rough
from sparse_kernels.cpu.chunks import Chunk, collect, join, keep_largest, lowest_scores, settled, sift_rough
from sparse_kernels.cpu.encoder import ROWS

PATIENCE = 4
"""Candidates for each wanted entry from which screening costs more than it saves."""
LARGEST_BOUND = 1e30
"""A larger bound on the rounding goes with scores that may overflow."""
_INFINITY = 0x7F800000


def encode_batch_topk(x: Tensor, weight: Tensor, bias: Tensor | None, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """(index [m], value [m], offsets [n + 1]): the n k largest positive scores, by rising feature within a row."""
    chunks = _screened(x, weight, bias, k) if rough.screening_pays(len(x), len(weight), k) else None
    if chunks is None:
        chunks = _exact(x, weight, bias, k)
    return join(chunks, len(x))


def _exact(x: Tensor, weight: Tensor, bias: Tensor | None, k: int) -> list[Chunk]:
    """Float32 throughout."""
    wanted = len(x) * k
    cutoffs = np.zeros(len(weight), np.float32)
    chunks: list[Chunk] = []
    held = kept = 0
    for row in range(0, len(x), ROWS):
        for first, scores in product.score_tiles(x[row : row + ROWS], weight, bias):
            tile = scores.numpy()
            if not chunks:
                cutoffs.fill(_likely_cutoff(_sample(tile), wanted / tile.size))
            chunks.append(collect(tile, first, row, cutoffs))
            if len(chunks) == 1 and len(chunks[0].entries) < wanted:
                cutoffs.fill(0)
                chunks = [collect(tile, first, row, cutoffs)]
            held += len(chunks[-1].entries)
            if held > kept + wanted:
                chunks, smallest = keep_largest(chunks, wanted)
                held = kept = _count(chunks)
                cutoffs.fill(_just_below(smallest))
    return keep_largest(chunks, wanted)[0]


def _sample(tile: np.ndarray) -> np.ndarray:
    """Some 64 rows."""
    return tile[:: max(1, len(tile) // 64)]


def _likely_cutoff(sample: np.ndarray, share: float) -> float:
    """A positive score that half as many again as this share of all scores exceed, if the sample is like the rest.

    It spares the first tile, most of which cannot stay, and is tried before it is believed. 0 where it spares little.
    """
    above = int(1.5 * share * sample.size)
    if not 0 < above < sample.size // 4:
        return 0.0
    return max(0.0, float(np.partition(sample.ravel(), sample.size - above)[sample.size - above]))


def _just_below(bits: int) -> float:
    """The float before the one with these bits, so that its equals still pass; infinity lets only NaN pass."""
    return float(np.array(min(max(bits - 1, 0), _INFINITY), np.int32).view(np.float32))


def _screened(x: Tensor, weight: Tensor, bias: Tensor | None, k: int) -> list[Chunk] | None:
    """The same from bfloat16 candidates; None where they do not decide."""
    offset = torch.zeros(len(weight)) if bias is None else bias
    bounds = rough.rounding_bounds(x, rough.lengths(weight), float(offset.abs().max()))
    if not (bounds < LARGEST_BOUND).all():
        return None
    wanted = len(x) * k
    cutoffs = np.zeros(len(weight), np.float32)
    chunks: list[Chunk] = []
    held = kept = 0
    for row in range(0, len(x), ROWS):
        own = bounds[row : row + ROWS]
        for first, scores in rough.tiles(x[row : row + ROWS], weight, offset):
            if not chunks:
                cutoffs.fill(_likely_cutoff(rough.values(_sample(scores)), wanted / scores.size))
            chunks.append(collect(scores, first, row, cutoffs, own))
            if len(chunks) == 1 and (lowest_scores(chunks[0], own) > cutoffs[0]).sum() < wanted:
                cutoffs.fill(0)
                chunks = [collect(scores, first, row, cutoffs, own)]
            held += len(chunks[-1].entries)
            if held > kept + wanted:
                chunks, cutoff = _cut(chunks, bounds, wanted)
                held = kept = _count(chunks)
                cutoffs.fill(cutoff)
                if kept > PATIENCE * wanted:
                    return None
    chunks, _ = _cut(chunks, bounds, wanted)
    if _count(chunks) > PATIENCE * wanted:
        return None
    cutoffs.fill(0)
    for at, chunk in enumerate(chunks):
        chunks[at] = settled(chunk, x[chunk.row : chunk.row + ROWS], weight, offset, cutoffs)
    return keep_largest(chunks, wanted)[0]


def _cut(chunks: list[Chunk], bounds: np.ndarray, wanted: int) -> tuple[list[Chunk], float]:
    """Less what `wanted` entries are sure to beat, and the score that these reach at least."""
    lowest = np.concatenate([lowest_scores(chunk, _own(bounds, chunk)) for chunk in chunks])
    if len(lowest) < wanted:
        return chunks, 0.0
    sure = float(np.partition(lowest, len(lowest) - wanted)[len(lowest) - wanted])
    cutoff = float(np.nextafter(np.float32(max(sure, 0)), np.float32(0)))
    return [sift_rough(chunk, _own(bounds, chunk), cutoff) for chunk in chunks], cutoff


def _own(bounds: np.ndarray, chunk: Chunk) -> np.ndarray:
    return bounds[chunk.row : chunk.row + chunk.rows]


def _count(chunks: list[Chunk]) -> int:
    return sum(len(chunk.entries) for chunk in chunks)
