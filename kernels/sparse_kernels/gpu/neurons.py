"""Triton: an MLP on chosen neurons, every weight matrix one row for each neuron.

The weights are read once, in their own precision, and multiplied in float32; sums are formed in a fixed order by one
program each. One token is bound by the bytes of its neurons' rows: d 2048 and 2048 of 8192 neurons are 25 MB in
bfloat16, 7.5 us on an H100 at 3.35 TB/s, where float32 arithmetic needs 0.4 us for the 25 MFLOP. The second layer is
cut into splits of the neurons, so that one token alone fills more than a handful of processors.
"""

import triton
import triton.language as tl

from sparse_kernels.gpu import launch
from sparse_kernels.gpu.standard import FLOATS, INTEGERS, NUMBER, Standard

RELU, SILU, GELU = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit
def _activate(value, ACTIVATION: tl.constexpr):
    if ACTIVATION == RELU:
        return tl.where(value <= 0, 0.0, value)
    if ACTIVATION == SILU:
        return value / (1.0 + tl.exp(-value))
    if ACTIVATION == GELU:
        return 0.5 * value * (1.0 + tl.erf(value * 0.7071067811865476))
    inner = 0.7978845608028654 * (value + 0.044715 * value * value * value)
    return 0.5 * value * (2.0 - 2.0 / (tl.exp(2.0 * inner) + 1.0))


@triton.jit
def neuron_hidden(
    x,  # [n, d] float32
    w_in,  # [m, d] float32 or bfloat16
    b_in,  # [m] float32
    w_gate,  # as w_in; anything without GATED
    b_gate,  # as b_in
    index,  # [j] or [n, j] int64
    hidden,  # [n, j] float32
    j,
    d,
    stride,  # from one row of index to the next: 0 or j
    GATED: tl.constexpr,  # activation(gate) * in, else activation(in)
    GIVEN: tl.constexpr,  # hidden holds activated gates: multiply them by in
    IN_BIAS: tl.constexpr,
    GATE_BIAS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    SLOTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    slot = tl.program_id(1) * SLOTS + tl.arange(0, SLOTS)
    neuron = tl.load(index + row * stride + slot, mask=slot < j, other=0)
    value = tl.zeros([SLOTS], tl.float32)
    gate = tl.zeros([SLOTS], tl.float32)
    for start in range(0, d, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        left = tl.load(x + row * d + column, mask=column < d, other=0.0)[None, :]
        inside = (slot < j)[:, None] & (column < d)[None, :]
        place = neuron[:, None] * d + column[None, :]
        value += tl.sum(left * tl.load(w_in + place, mask=inside, other=0.0).to(tl.float32), axis=1)
        if GATED:
            gate += tl.sum(left * tl.load(w_gate + place, mask=inside, other=0.0).to(tl.float32), axis=1)
    if IN_BIAS:
        value += tl.load(b_in + neuron)
    if GATE_BIAS:
        gate += tl.load(b_gate + neuron)
    if GATED:
        value *= _activate(gate, ACTIVATION)
    elif GIVEN:
        value *= tl.load(hidden + row * j + slot, mask=slot < j, other=0.0)
    else:
        value = _activate(value, ACTIVATION)
    tl.store(hidden + row * j + slot, value, mask=slot < j)


@triton.jit
def neuron_output(
    hidden,  # [n, j] float32
    w_out,  # [m, e] float32 or bfloat16
    index,  # [j] or [n, j] int64
    partial,  # [splits, n, e] float32
    rows,
    j,
    e,
    stride,  # from one row of index to the next: 0 or j
    share,  # neurons of a split
    SLOTS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    split = tl.program_id(2)
    end = tl.minimum(j, (split + 1) * share)
    total = tl.zeros([COLUMNS], tl.float32)
    for start in range(split * share, end, SLOTS):
        slot = start + tl.arange(0, SLOTS)
        neuron = tl.load(index + row * stride + slot, mask=slot < end, other=0)
        scale = tl.load(hidden + row * j + slot, mask=slot < end, other=0.0)
        inside = (slot < end)[:, None] & (column < e)[None, :]
        weights = tl.load(w_out + neuron[:, None] * e + column[None, :], mask=inside, other=0.0)
        total += tl.sum(scale[:, None] * weights.to(tl.float32), axis=0)
    tl.store(partial + (split.to(tl.int64) * rows + row) * e + column, total, mask=column < e)


WIDTH, CHOSEN = 2048, 2048
"""d and the chosen neurons of the standard shape: one token, a quarter of 8192 neurons, bfloat16."""

STANDARD = (
    Standard(
        neuron_hidden,
        {
            "x": FLOATS,
            "w_in": "*bf16",
            "b_in": FLOATS,
            "w_gate": "*bf16",
            "b_gate": FLOATS,
            "index": INTEGERS,
            "hidden": FLOATS,
            "j": NUMBER,
            "d": NUMBER,
            "stride": NUMBER,
        },
        launch.rows_of(WIDTH, CHOSEN),
        {"GATED": True, "GIVEN": False, "IN_BIAS": False, "GATE_BIAS": False, "ACTIVATION": 1},
        floor_bytes=2 * 2 * CHOSEN * WIDTH,
        floor_flops=2 * 2 * CHOSEN * WIDTH,
    ),
    Standard(
        neuron_output,
        {
            "hidden": FLOATS,
            "w_out": "*bf16",
            "index": INTEGERS,
            "partial": FLOATS,
            "rows": NUMBER,
            "j": NUMBER,
            "e": NUMBER,
            "stride": NUMBER,
            "share": NUMBER,
        },
        launch.rows_of(WIDTH, CHOSEN),
        floor_bytes=2 * CHOSEN * WIDTH,
        floor_flops=2 * CHOSEN * WIDTH,
    ),
)
