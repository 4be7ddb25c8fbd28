"""Triton: the k best features of each row, kept while the product runs over tiles of features.

Candidates are the CPU path's int64 keys: ordered float bits above the complement of the feature, so that one
comparison ranks by value, then by lower feature, NaN first. One program owns one row.

On an H100 at 4096 rows x 18432 features the scores are written and read once, 2 x 302 MB: 0.18 ms at 3.35 TB/s,
beside 87 GFLOP for the product: 1.3 ms at 67 TFLOP/s of float32.
"""

import triton
import triton.language as tl

LOW = tl.constexpr(0xFFFFFFFF)
NAN = tl.constexpr(0x7FFFFFFF)
NOTHING = tl.constexpr(-0x8000000000000000)


@triton.jit
def _keys(score, feature, RELU: tl.constexpr):
    if RELU:
        score = tl.where(score <= 0, 0.0, score)
    bits = score.to(tl.int32, bitcast=True)
    ordered = tl.where(bits < 0, bits ^ NAN, bits)
    ordered = tl.where(score == 0, 0, ordered)
    ordered = tl.where(score != score, NAN, ordered)
    return (ordered.to(tl.int64) << 32) | (feature.to(tl.int64) ^ LOW)


@triton.jit
def select_tile(
    scores,  # [n, width] float32: this tile's scores, rows contiguous
    kept,  # [n, K] int64: the best keys so far, largest first
    width,
    first,  # feature number of column 0
    FRESH: tl.constexpr,  # nothing has been kept yet
    RELU: tl.constexpr,
    K: tl.constexpr,  # a power of two, at least k
    CHUNK: tl.constexpr,  # a power of two, at least K
):
    row = tl.program_id(0).to(tl.int64)
    slots = tl.arange(0, K)
    if FRESH:
        best = tl.full([K], NOTHING, tl.int64)
    else:
        best = tl.load(kept + row * K + slots)
    for start in range(0, width, CHUNK):
        column = start + tl.arange(0, CHUNK)
        score = tl.load(scores + row * width + column, mask=column < width, other=0.0)
        keys = tl.where(column < width, _keys(score, first + column, RELU), NOTHING)
        if tl.max(keys) > tl.min(best):  # pyright: ignore[reportOperatorIssue]
            top = tl.topk(keys, K)
            best = tl.topk(tl.reshape(tl.join(best, top), [2 * K]), K)
    tl.store(kept + row * K + slots, best)


@triton.jit
def write_codes(
    kept,  # [n, K] int64
    index,  # [n, k] int64
    value,  # [n, k] float32
    k,
    K: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    slots = tl.arange(0, K)
    keys = tl.load(kept + row * K + slots)
    ordered = (keys >> 32).to(tl.int32)
    bits = tl.where(ordered < 0, ordered ^ NAN, ordered)
    tl.store(index + row * k + slots, (keys & LOW) ^ LOW, mask=slots < k)
    tl.store(value + row * k + slots, bits.to(tl.float32, bitcast=True), mask=slots < k)
