"""Triton: sums and products over chosen rows of a matrix, and the gradients of both.

Each output element is summed by one program in a fixed order, so every result is the same on every run; there
are no atomics. Offsets are int64. The floor is the bytes of the gathered rows: at 4096 rows x 32 codes x 576
columns 302 MB, 0.09 ms on an H100 at 3.35 TB/s (less where rows recur in its 50 MB cache).
"""

import triton
import triton.language as tl


@triton.jit
def gather_sum(
    index,  # [n, k] int64
    value,  # [n, k] float32
    weight,  # [f, d] float32
    out,  # [n, d] float32
    k,
    d,
    SLOTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    total = tl.zeros([COLUMNS], tl.float32)
    for start in range(0, k, SLOTS):
        slot = start + tl.arange(0, SLOTS)
        feature = tl.load(index + row * k + slot, mask=slot < k, other=0)
        scale = tl.load(value + row * k + slot, mask=slot < k, other=0.0)
        inside = (slot < k)[:, None] & (column < d)[None, :]
        rows = tl.load(weight + feature[:, None] * d + column[None, :], mask=inside, other=0.0)
        total += tl.sum(scale[:, None] * rows, axis=0)
    tl.store(out + row * d + column, total, mask=column < d)


@triton.jit
def gather_dot(
    index,  # [n, k] int64
    source,  # [n, d] float32
    weight,  # [f, d] float32
    out,  # [n, k] float32
    k,
    d,
    SLOTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    slot = tl.program_id(1) * SLOTS + tl.arange(0, SLOTS)
    feature = tl.load(index + row * k + slot, mask=slot < k, other=0)
    total = tl.zeros([SLOTS], tl.float32)
    for start in range(0, d, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        left = tl.load(source + row * d + column, mask=column < d, other=0.0)
        inside = (slot < k)[:, None] & (column < d)[None, :]
        right = tl.load(weight + feature[:, None] * d + column[None, :], mask=inside, other=0.0)
        total += tl.sum(left[None, :] * right, axis=1)
    tl.store(out + row * k + slot, total, mask=slot < k)


@triton.jit
def scatter_sum(
    begins,  # [f + 1] int64: entries[begins[f] : begins[f + 1]] belong to feature f
    entries,  # [n * k] int64: flat positions in the index, in rising order within a feature
    coefficient,  # [n * k] float32
    source,  # [n, d] float32
    out,  # [f, d] float32
    sums,  # [f] float32
    k,
    d,
    SLOTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    feature = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1)
    column = block * COLUMNS + tl.arange(0, COLUMNS)
    begin = tl.load(begins + feature)
    end = tl.load(begins + feature + 1)
    total = tl.zeros([COLUMNS], tl.float32)
    plain = tl.zeros([SLOTS], tl.float32)
    for start in range(begin, end, SLOTS):
        place = start + tl.arange(0, SLOTS)
        entry = tl.load(entries + place, mask=place < end, other=0)
        scale = tl.load(coefficient + entry, mask=place < end, other=0.0)
        inside = (place < end)[:, None] & (column < d)[None, :]
        rows = tl.load(source + (entry // k)[:, None] * d + column[None, :], mask=inside, other=0.0)
        total += tl.sum(scale[:, None] * rows, axis=0)
        plain += scale
    tl.store(out + feature * d + column, total, mask=column < d)
    tl.store(sums + feature, tl.sum(plain), mask=block == 0)
