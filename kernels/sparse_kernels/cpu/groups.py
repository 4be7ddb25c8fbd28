"""numba: the k best features of each of many small groups, from scores that hold whole groups.

Imported through `compiled.kernel_module` only.
"""

import numpy as np
from numba import njit, prange

from sparse_kernels.cpu.compiled import caching
from sparse_kernels.cpu.topk import LOW, largest_first, rank_key, sort_down, value_bits

_CACHE = caching()


@njit(cache=_CACHE, nogil=True)
def select_groups(scores, bits, first, size, relu, k, index, found, start, stop):
    """The k best of each group of `size` columns of the scores [n, t], largest first.

    The tile's first group, which begins with feature `first`, writes k columns from first / size * k on. A ReLU
    makes equals of what is not positive, and the lowest of these pad a group, as ranking says of itself.
    """
    keys = np.empty(size, np.int64)
    for row in range(start, stop):
        for begin in range(0, scores.shape[1], size):
            for at in range(size):
                value, own = scores[row, begin + at], bits[row, begin + at]
                if relu and value <= 0:
                    value, own = np.float32(0), np.int32(0)
                keys[at] = rank_key(own, value, first + begin + at)
            largest_first(keys, size, k)
            sort_down(keys[:k])
            slot = (first + begin) // size * k
            for at in range(k):
                index[row, slot + at] = LOW - (keys[at] & LOW)
                found[row, slot + at] = value_bits(keys[at])


@njit(cache=_CACHE, nogil=True, parallel=True)
def select_groups_parallel(scores, bits, first, size, relu, k, index, found, rows, parts):
    for part in prange(parts):
        start, stop = rows * part // parts, rows * (part + 1) // parts
        select_groups(scores, bits, first, size, relu, k, index, found, start, stop)
