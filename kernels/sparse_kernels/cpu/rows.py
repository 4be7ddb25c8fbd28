"""numba: products with chosen rows of a matrix, and sums into them.

Gradients to a matrix go feature by feature in the order of the rows, so the same sum is formed whatever
the number of threads. Imported through `compiled.kernel_module` only.
"""

import numpy as np
from numba import njit, prange

from sparse_kernels.cpu.compiled import caching

_CACHE = caching()
_SUM_ORDER_FREE = {"reassoc", "nsz", "contract"}
"""Lets a dot product use vector lanes; NaN and infinity keep their meaning."""


@njit(cache=_CACHE, nogil=True, fastmath=_SUM_ORDER_FREE)
def gather_dot(index, source, weight, out, start, stop):
    """out[i, j] = source[i] . weight[index[i, j]]."""
    width = weight.shape[1]
    for row in range(start, stop):
        left = source[row]
        for slot in range(index.shape[1]):
            right = weight[index[row, slot]]
            total = np.float32(0)
            for c in range(width):
                total += left[c] * right[c]
            out[row, slot] = total


@njit(cache=_CACHE, nogil=True, parallel=True)
def gather_dot_parallel(index, source, weight, out, rows, parts):
    for part in prange(parts):
        gather_dot(index, source, weight, out, rows * part // parts, rows * (part + 1) // parts)


@njit(cache=_CACHE, nogil=True)
def group_by_feature(flat_index, begins, entries):
    """Counting sort: entries[begins[f] : begins[f + 1]] are the positions of feature f, in order."""
    begins[:] = 0
    for position in range(flat_index.shape[0]):
        begins[flat_index[position] + 1] += 1
    for feature in range(begins.shape[0] - 1):
        begins[feature + 1] += begins[feature]
    for position in range(flat_index.shape[0]):
        feature = flat_index[position]
        entries[begins[feature]] = position
        begins[feature] += 1
    for feature in range(begins.shape[0] - 1, 0, -1):
        begins[feature] = begins[feature - 1]
    begins[0] = 0


@njit(cache=_CACHE, nogil=True, fastmath={"contract"})
def scatter_sum(begins, entries, coefficient, source, k, out, sums, start, stop):
    """out[f] = sum of coefficient[e] * source[e // k] over the entries e of f; sums[f] without source."""
    width = source.shape[1]
    for feature in range(start, stop):
        total = out[feature]
        total[:] = 0
        at, end = begins[feature], begins[feature + 1]
        plain = np.float32(0)
        while at + 4 <= end:
            e0, e1, e2, e3 = entries[at], entries[at + 1], entries[at + 2], entries[at + 3]
            c0, c1, c2, c3 = coefficient[e0], coefficient[e1], coefficient[e2], coefficient[e3]
            s0, s1, s2, s3 = source[e0 // k], source[e1 // k], source[e2 // k], source[e3 // k]
            for c in range(width):
                total[c] += (c0 * s0[c] + c1 * s1[c]) + (c2 * s2[c] + c3 * s3[c])
            plain += (c0 + c1) + (c2 + c3)
            at += 4
        while at < end:
            e0 = entries[at]
            c0, s0 = coefficient[e0], source[e0 // k]
            for c in range(width):
                total[c] += c0 * s0[c]
            plain += c0
            at += 1
        sums[feature] = plain


@njit(cache=_CACHE, nogil=True, parallel=True)
def scatter_sum_parallel(begins, entries, coefficient, source, k, out, sums, bounds):
    for part in prange(bounds.shape[0] - 1):
        scatter_sum(begins, entries, coefficient, source, k, out, sums, bounds[part], bounds[part + 1])
