"""numba: the k largest positive entries of each row of a dense matrix, in place.

Imported through `compiled.kernel_module` only.
"""

import numpy as np
from numba import njit, prange

from sparse_kernels.cpu.compiled import caching
from sparse_kernels.cpu.topk import largest_first, rank_key

_CACHE = caching()


@njit(cache=_CACHE, nogil=True)
def keep_topk(scores, bits, k, start, stop):
    """Set to 0 what is not positive (NaN stays) and not among the k largest; equal ones keep the lowest columns."""
    width = scores.shape[1]
    keys = np.empty(width, np.int64)
    ranked = np.empty(width, np.int64)
    for row in range(start, stop):
        score = scores[row]
        count = 0
        for at in range(width):
            if score[at] <= 0:
                score[at] = 0
            count += score[at] != 0
        if count <= k:
            continue
        for at in range(width):
            keys[at] = rank_key(bits[row, at], score[at], at)
        ranked[:] = keys
        largest_first(ranked, width, k)
        least = ranked[k - 1]
        for at in range(width):
            if keys[at] < least:
                score[at] = 0


@njit(cache=_CACHE, nogil=True, parallel=True)
def keep_topk_parallel(scores, bits, k, rows, parts):
    for part in prange(parts):
        keep_topk(scores, bits, k, rows * part // parts, rows * (part + 1) // parts)
