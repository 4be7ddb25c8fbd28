"""numba: the MLP of one token as a C function that every thread of a pool calls; the shares are those of `neurons`.

Operands lie in one row of int64: numbers and addresses, in the order of `FIELDS`. Imported through
`compiled.kernel_module` only.
"""

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.extending import intrinsic

from sparse_kernels.cpu.compiled import caching
from sparse_kernels.cpu.neurons import _add_shares, _choose, _chosen_share, _gather_share, _score_share

_CACHE = caching()
FIELDS = (
    "thread_number", "threads", "barrier", "d", "e", "m", "k", "activation", "gated", "biased", "scored", "shares",
    "x", "w_gate", "w_in", "w_out", "b_gate", "b_in", "b_out", "every", "scores", "keys", "index", "hidden", "partial",
    "out",
)  # fmt: skip
_TN, _NT, _BARRIER, _D, _E, _M, _K, _ACT, _GATED, _BIASED, _SCORED, _SHARES = range(12)
_X, _W_GATE, _W_IN, _W_OUT, _B_GATE, _B_IN, _B_OUT, _EVERY, _SCORES, _KEYS, _INDEX, _HIDDEN, _PARTIAL, _OUT = range(
    12, 26
)


@intrinsic
def _pointer(typing, address):
    """An address as a pointer."""

    def generate(context, builder, signature, operands):
        return builder.inttoptr(operands[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@intrinsic
def _number(typing, address):
    """Call the C function at an address: no operand, an int."""

    def generate(context, builder, signature, operands):
        kind = ir.FunctionType(ir.IntType(32), [])
        return builder.call(builder.inttoptr(operands[0], kind.as_pointer()), [])

    return types.int32(types.int64), generate


@intrinsic
def _wait(typing, address):
    """Call the C function at an address: no operand, no result."""

    def generate(context, builder, signature, operands):
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(builder.inttoptr(operands[0], kind.as_pointer()), [])
        return ir.Constant(ir.IntType(32), 0)

    return types.int32(types.int64), generate


@njit(cache=_CACHE, nogil=True)
def _floats(address, rows, columns):
    return carray(_pointer(address), (rows, columns), np.float32)  # pyright: ignore[reportCallIssue]


@njit(cache=_CACHE, nogil=True)
def _numbers(address, rows, columns):
    return carray(_pointer(address), (rows, columns), np.int64)  # pyright: ignore[reportCallIssue]


def _declare(dtype):
    @cfunc(types.void(types.voidptr), cache=_CACHE)
    def topk(operands):
        a = carray(operands, (26,), np.int64)
        number, threads = _number(a[_TN]), _number(a[_NT])  # pyright: ignore[reportCallIssue]
        d, e, m, k, gated, shares = a[_D], a[_E], a[_M], a[_K], a[_GATED] > 0, a[_SHARES]
        x = _floats(a[_X], 1, d)
        w_gate = carray(_pointer(a[_W_GATE]), (m if gated else 0, d), dtype)  # pyright: ignore[reportCallIssue]
        w_in = carray(_pointer(a[_W_IN]), (m, d), dtype)  # pyright: ignore[reportCallIssue]
        w_out = carray(_pointer(a[_W_OUT]), (m, e), dtype)  # pyright: ignore[reportCallIssue]
        b_gate, b_in = _floats(a[_B_GATE], 1, m * a[_BIASED])[0], _floats(a[_B_IN], 1, m * a[_BIASED])[0]
        scores, hidden, index = _floats(a[_SCORES], 1, m), _floats(a[_HIDDEN], 1, k), _numbers(a[_INDEX], 1, k)
        partial = _floats(a[_PARTIAL], shares, e).reshape((shares, 1, e))
        weight, bias = (w_gate, b_gate) if gated else (w_in, b_in)
        every = _numbers(a[_EVERY], 1, m)[0]
        for share in range(number, a[_SCORED], threads):
            _score_share(x, weight, bias, every, a[_ACT], scores, share, a[_SCORED])
        _wait(a[_BARRIER])  # pyright: ignore[reportCallIssue]
        if number == 0:
            _choose(scores[0], _numbers(a[_KEYS], 1, m)[0], index[0], hidden[0])
        _wait(a[_BARRIER])  # pyright: ignore[reportCallIssue]
        for share in range(number, shares, threads):
            _chosen_share(x, gated, w_in, w_out, b_in, index, hidden, partial, share)
        _wait(a[_BARRIER])  # pyright: ignore[reportCallIssue]
        if number == 0:
            _add_shares(partial, _floats(a[_B_OUT], 1, e)[0], _floats(a[_OUT], 1, e))

    @cfunc(types.void(types.voidptr), cache=_CACHE)
    def whole(operands):
        a = carray(operands, (26,), np.int64)
        number, threads = _number(a[_TN]), _number(a[_NT])  # pyright: ignore[reportCallIssue]
        d, e, m, gated, shares = a[_D], a[_E], a[_M], a[_GATED] > 0, a[_SHARES]
        x = _floats(a[_X], 1, d)
        w_gate = carray(_pointer(a[_W_GATE]), (m if gated else 0, d), dtype)  # pyright: ignore[reportCallIssue]
        w_in = carray(_pointer(a[_W_IN]), (m, d), dtype)  # pyright: ignore[reportCallIssue]
        w_out = carray(_pointer(a[_W_OUT]), (m, e), dtype)  # pyright: ignore[reportCallIssue]
        b_gate, b_in = _floats(a[_B_GATE], 1, m * a[_BIASED])[0], _floats(a[_B_IN], 1, m * a[_BIASED])[0]
        every, hidden = _numbers(a[_EVERY], 1, m), _floats(a[_SCORES], 1, m)
        partial = _floats(a[_PARTIAL], shares, e).reshape((shares, 1, e))
        for share in range(number, shares, threads):
            _gather_share(x, w_gate, w_in, w_out, b_gate, b_in, every, a[_ACT], hidden, partial, share)
        _wait(a[_BARRIER])  # pyright: ignore[reportCallIssue]
        if number == 0:
            _add_shares(partial, _floats(a[_B_OUT], 1, e)[0], _floats(a[_OUT], 1, e))

    return topk, whole


topk_float32, whole_float32 = _declare(np.float32)
topk_bfloat16, whole_bfloat16 = _declare(np.int16)
