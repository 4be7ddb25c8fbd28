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
def gather_dot(index, offsets, source, weight, out, start, stop):
    """out[e] = source[i] . weight[index[e]] for the entries e of row i, offsets[i] to offsets[i + 1]."""
    width = weight.shape[1]
    for row in range(start, stop):
        left = source[row]
        for entry in range(offsets[row], offsets[row + 1]):
            right = weight[index[entry]]
            total = np.float32(0)
            for c in range(width):
                total += left[c] * right[c]
            out[entry] = total


@njit(cache=_CACHE, nogil=True, parallel=True)
def gather_dot_parallel(index, offsets, source, weight, out, bounds):
    for part in prange(bounds.shape[0] - 1):
        gather_dot(index, offsets, source, weight, out, bounds[part], bounds[part + 1])


@njit(cache=_CACHE, nogil=True)
def group_by_feature(index, offsets, begins, entries, owners):
    """Counting sort: entries[begins[f] : begins[f + 1]] are the positions of feature f, in order; owners their rows."""
    begins[:] = 0
    for position in range(index.shape[0]):
        begins[index[position] + 1] += 1
    for feature in range(begins.shape[0] - 1):
        begins[feature + 1] += begins[feature]
    for row in range(offsets.shape[0] - 1):
        for position in range(offsets[row], offsets[row + 1]):
            feature = index[position]
            entries[begins[feature]] = position
            owners[begins[feature]] = row
            begins[feature] += 1
    for feature in range(begins.shape[0] - 1, 0, -1):
        begins[feature] = begins[feature - 1]
    begins[0] = 0


@njit(cache=_CACHE, nogil=True, fastmath={"contract"})
def scatter_sum(begins, entries, owners, coefficient, source, out, sums, start, stop):
    """out[f] = sum of coefficient[e] * source[row of e] over the entries e of f; sums[f] without source."""
    width = source.shape[1]
    for feature in range(start, stop):
        total = out[feature]
        total[:] = 0
        at, end = begins[feature], begins[feature + 1]
        plain = np.float32(0)
        while at + 4 <= end:
            c0, c1 = coefficient[entries[at]], coefficient[entries[at + 1]]
            c2, c3 = coefficient[entries[at + 2]], coefficient[entries[at + 3]]
            s0, s1 = source[owners[at]], source[owners[at + 1]]
            s2, s3 = source[owners[at + 2]], source[owners[at + 3]]
            for c in range(width):
                total[c] += (c0 * s0[c] + c1 * s1[c]) + (c2 * s2[c] + c3 * s3[c])
            plain += (c0 + c1) + (c2 + c3)
            at += 4
        while at < end:
            c0, s0 = coefficient[entries[at]], source[owners[at]]
            for c in range(width):
                total[c] += c0 * s0[c]
            plain += c0
            at += 1
        sums[feature] = plain


@njit(cache=_CACHE, nogil=True, parallel=True)
def scatter_sum_parallel(begins, entries, owners, coefficient, source, out, sums, bounds):
    for part in prange(bounds.shape[0] - 1):
        scatter_sum(begins, entries, owners, coefficient, source, out, sums, bounds[part], bounds[part + 1])
