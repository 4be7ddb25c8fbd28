"""Triton: what happens to the rows of a weight between two batches, each row in one visit.

Nothing is summed across programs, so every result is the same on every run. Offsets are int64. The floor is the
bytes of the rows: of Adam seven times those of the gradient (four read, three written), of the others two to three.
"""

import triton
import triton.language as tl

from sparse_kernels.gpu.launch import row_blocks
from sparse_kernels.gpu.standard import FEATURES, FLOATS, INTEGERS, NUMBER, WIDTH, Standard


@triton.jit
def row_sparse_adam(
    rows,  # [m] int64
    gradient,  # [m, d] float32
    weight,  # [f, d] float32
    mean,  # [f, d] float32
    square,  # [f, d] float32
    rates,  # [m] float32: lr / (1 - beta1^t) of each row
    growths,  # [m] float32: 1 / sqrt(1 - beta2^t) of each row
    d,
    beta1,
    left1,  # 1 - beta1, from float64
    beta2,
    left2,
    eps,
    COLUMNS: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < d
    place = tl.load(rows + at) * d + column
    g = tl.load(gradient + at * d + column, mask=inside, other=0.0)
    first = beta1 * tl.load(mean + place, mask=inside, other=0.0) + left1 * g
    second = beta2 * tl.load(square + place, mask=inside, other=0.0) + left2 * g * g
    change = tl.load(rates + at) * first / (tl.sqrt(second) * tl.load(growths + at) + eps)
    tl.store(weight + place, tl.load(weight + place, mask=inside, other=0.0) - change, mask=inside)
    tl.store(mean + place, first, mask=inside)
    tl.store(square + place, second, mask=inside)


@triton.jit
def unit_norm(
    weight,  # [f, d] float32
    d,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros([COLUMNS], tl.float32)
    for start in range(0, d, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        w = tl.load(weight + row * d + column, mask=column < d, other=0.0)
        total += w * w
    length = tl.sqrt(tl.sum(total))
    scale = 1.0 / tl.where(length == 0, 1.0, length)
    for start in range(0, d, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        w = tl.load(weight + row * d + column, mask=column < d, other=0.0)
        tl.store(weight + row * d + column, w * scale, mask=column < d)


@triton.jit
def remove_radial(
    rows,  # [m] int64
    gradient,  # [m, d] float32
    weight,  # [f, d] float32
    d,
    COLUMNS: tl.constexpr,
):
    at = tl.program_id(0).to(tl.int64)
    row = tl.load(rows + at)
    along = tl.zeros([COLUMNS], tl.float32)
    total = tl.zeros([COLUMNS], tl.float32)
    for start in range(0, d, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        g = tl.load(gradient + at * d + column, mask=column < d, other=0.0)
        w = tl.load(weight + row * d + column, mask=column < d, other=0.0)
        along += g * w
        total += w * w
    square = tl.sum(total)
    share = tl.sum(along) / tl.where(square == 0, 1.0, square)
    for start in range(0, d, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        g = tl.load(gradient + at * d + column, mask=column < d, other=0.0)
        w = tl.load(weight + row * d + column, mask=column < d, other=0.0)
        tl.store(gradient + at * d + column, g - share * w, mask=column < d)


_BYTES = 4.0 * FEATURES * WIDTH

STANDARD = (
    Standard(
        row_sparse_adam,
        {
            "rows": INTEGERS,
            **dict.fromkeys(("gradient", "weight", "mean", "square", "rates", "growths"), FLOATS),
            "d": NUMBER,
            **dict.fromkeys(("beta1", "left1", "beta2", "left2", "eps"), "fp32"),
        },
        row_blocks(WIDTH),
        floor_bytes=7 * _BYTES,
    ),
    Standard(unit_norm, {"weight": FLOATS, "d": NUMBER}, row_blocks(WIDTH), floor_bytes=2 * _BYTES),
    Standard(
        remove_radial,
        {"rows": INTEGERS, "gradient": FLOATS, "weight": FLOATS, "d": NUMBER},
        row_blocks(WIDTH),
        floor_bytes=3 * _BYTES,
    ),
)
