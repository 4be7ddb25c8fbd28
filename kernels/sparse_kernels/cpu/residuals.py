"""numba: a sparse reconstruction against its target, everything about a row while its weights are in the cache.

Imported through `compiled.kernel_module` only.
"""

import numpy as np
from numba import njit, prange

from sparse_kernels.cpu.compiled import caching

_CACHE = caching()
_SUM_ORDER_FREE = {"reassoc", "nsz", "contract"}
"""Lets sums use vector lanes; NaN and infinity keep their meaning."""


@njit(cache=_CACHE, nogil=True, fastmath=_SUM_ORDER_FREE)
def gather_error(index, offsets, value, weight, base, target, residual, error, dots, start, stop):
    """residual[i] = sum of value * weight rows + base - target; error[i] = its squared length.

    base is [n, d], or [1, d] for all rows. dots[e] = residual[i] . weight[index[e]] for the entries e of row i,
    unless dots is empty: the rows of weight, read for the sum, are still in the second cache.
    """
    width = weight.shape[1]
    shared = base.shape[0] == 1
    for row in range(start, stop):
        left, added, wanted = residual[row], base[0 if shared else row], target[row]
        for c in range(width):
            left[c] = added[c] - wanted[c]
        at, end = offsets[row], offsets[row + 1]
        while at + 4 <= end:
            v0, v1, v2, v3 = value[at], value[at + 1], value[at + 2], value[at + 3]
            w0, w1 = weight[index[at]], weight[index[at + 1]]
            w2, w3 = weight[index[at + 2]], weight[index[at + 3]]
            for c in range(width):
                left[c] += (v0 * w0[c] + v1 * w1[c]) + (v2 * w2[c] + v3 * w3[c])
            at += 4
        while at < end:
            v0, w0 = value[at], weight[index[at]]
            for c in range(width):
                left[c] += v0 * w0[c]
            at += 1
        total = np.float32(0)
        for c in range(width):
            total += left[c] * left[c]
        error[row] = total
        if dots.shape[0] == 0:
            continue
        for entry in range(offsets[row], end):
            right = weight[index[entry]]
            product = np.float32(0)
            for c in range(width):
                product += left[c] * right[c]
            dots[entry] = product


@njit(cache=_CACHE, nogil=True, parallel=True)
def gather_error_parallel(index, offsets, value, weight, base, target, residual, error, dots, bounds):
    for part in prange(bounds.shape[0] - 1):
        start, stop = bounds[part], bounds[part + 1]
        gather_error(index, offsets, value, weight, base, target, residual, error, dots, start, stop)


@njit(cache=_CACHE, nogil=True, fastmath=_SUM_ORDER_FREE)
def column_sums(rows, sums, squares, part, start, stop):
    """sums[part] = the sum of the rows, squares[part] = that of their squares: one pass, in float64."""
    total = sums[part]
    total[:] = 0
    square = 0.0
    for row in range(start, stop):
        found = rows[row]
        for c in range(rows.shape[1]):
            number = np.float64(found[c])
            total[c] += number
            square += number * number
    squares[part] = square


@njit(cache=_CACHE, nogil=True, parallel=True)
def column_sums_parallel(rows, sums, squares):
    parts, n = sums.shape[0], rows.shape[0]
    for part in prange(parts):
        column_sums(rows, sums, squares, part, n * part // parts, n * (part + 1) // parts)
