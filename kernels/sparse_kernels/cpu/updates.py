"""numba: what happens to the rows of a weight between two batches, each row in one visit.

Imported through `compiled.kernel_module` only.
"""

import math

import numpy as np
from numba import njit, prange

from sparse_kernels.cpu.compiled import caching
from sparse_kernels.cpu.rows import scatter_sum

_CACHE = caching()
_SUM_ORDER_FREE = {"reassoc", "nsz", "contract"}


@njit(cache=_CACHE, nogil=True)
def touched(begins, entries, coefficient, rows):
    """Write the features with an entry whose coefficient is not 0 to `rows`, rising; returns how many they are."""
    count = 0
    for feature in range(begins.shape[0] - 1):
        for at in range(begins[feature], begins[feature + 1]):
            if coefficient[entries[at]] != 0:
                rows[count] = feature
                count += 1
                break
    return count


@njit(cache=_CACHE, nogil=True)
def scatter_rows(rows, begins, entries, owners, coefficient, source, out, sums, start, stop):
    """`rows.scatter_sum` for chosen features: out[i] and sums[i] belong to feature rows[i]."""
    for at in range(start, stop):
        own, one = begins[rows[at] : rows[at] + 2], slice(at, at + 1)
        scatter_sum(own, entries, owners, coefficient, source, out[one], sums[one], 0, 1)


@njit(cache=_CACHE, nogil=True, parallel=True)
def scatter_rows_parallel(rows, begins, entries, owners, coefficient, source, out, sums, bounds):
    for part in prange(bounds.shape[0] - 1):
        scatter_rows(rows, begins, entries, owners, coefficient, source, out, sums, bounds[part], bounds[part + 1])


@njit(cache=_CACHE, nogil=True, error_model="numpy", fastmath={"contract"})
def row_sparse_adam(rows, gradient, weight, mean, square, steps, lr, beta1, beta2, eps, start, stop):
    """Adam for the rows of weight, mean, square and steps that `rows` names; gradient[i] belongs to rows[i]."""
    old1, new1 = np.float32(beta1), np.float32(1 - beta1)
    old2, new2 = np.float32(beta2), np.float32(1 - beta2)
    eps = np.float32(eps)
    for at in range(start, stop):
        row = rows[at]
        steps[row] += 1
        rate = np.float32(lr / (1 - math.pow(beta1, float(steps[row]))))
        grown = np.float32(1 / math.sqrt(1 - math.pow(beta2, float(steps[row]))))
        g, w, m, v = gradient[at], weight[row], mean[row], square[row]
        for c in range(g.shape[0]):
            m[c] = old1 * m[c] + new1 * g[c]
            v[c] = old2 * v[c] + new2 * g[c] * g[c]
            w[c] -= rate * m[c] / (np.sqrt(v[c]) * grown + eps)


@njit(cache=_CACHE, nogil=True, parallel=True)
def row_sparse_adam_parallel(rows, gradient, weight, mean, square, steps, lr, beta1, beta2, eps, n, parts):
    for part in prange(parts):
        start, stop = n * part // parts, n * (part + 1) // parts
        row_sparse_adam(rows, gradient, weight, mean, square, steps, lr, beta1, beta2, eps, start, stop)


@njit(cache=_CACHE, nogil=True, error_model="numpy", fastmath=_SUM_ORDER_FREE)
def unit_norm(weight, start, stop):
    """Every row to length 1; a row of zeros stays."""
    for row in range(start, stop):
        w = weight[row]
        total = np.float32(0)
        for c in range(w.shape[0]):
            total += w[c] * w[c]
        if total != 0:
            scale = np.float32(1) / np.sqrt(total)
            for c in range(w.shape[0]):
                w[c] *= scale


@njit(cache=_CACHE, nogil=True, parallel=True)
def unit_norm_parallel(weight, n, parts):
    for part in prange(parts):
        unit_norm(weight, n * part // parts, n * (part + 1) // parts)


@njit(cache=_CACHE, nogil=True, error_model="numpy", fastmath=_SUM_ORDER_FREE)
def remove_radial(rows, gradient, weight, start, stop):
    """gradient[i] loses its component along weight[rows[i]]."""
    for at in range(start, stop):
        g, w = gradient[at], weight[rows[at]]
        along, total = np.float32(0), np.float32(0)
        for c in range(g.shape[0]):
            along += g[c] * w[c]
            total += w[c] * w[c]
        if total != 0:
            share = along / total
            for c in range(g.shape[0]):
                g[c] -= share * w[c]


@njit(cache=_CACHE, nogil=True, parallel=True)
def remove_radial_parallel(rows, gradient, weight, n, parts):
    for part in prange(parts):
        remove_radial(rows, gradient, weight, n * part // parts, n * (part + 1) // parts)


@njit(cache=_CACHE, nogil=True)
def note_firing(rows_since_fired, index, value, rows):
    """Add `rows` to every counter, then set those of active entries to 0 (too little work for two threads)."""
    for feature in range(rows_since_fired.shape[0]):
        rows_since_fired[feature] += rows
    for entry in range(index.shape[0]):
        if value[entry] != 0:
            rows_since_fired[index[entry]] = 0
