"""numba: what a pass over dense rows counts: who exceeds a limit, how large values are, and the rows' moments.

Imported through `compiled.kernel_module` only.
"""

import numpy as np
from numba import njit, prange

from sparse_kernels.cpu.compiled import caching

_CACHE = caching()
LANES = 4
"""Histograms in turn, so that equal values in a row do not wait for each other."""


@njit(cache=_CACHE, nogil=True)
def tally_rows(rows, bits, kept, limits, counts, histogram, fired, largest, start, stop):
    """One pass; `bits` are the rows as int32, of which the sign is dropped and the upper bits are the bin."""
    width = rows.shape[1]
    for row in range(start, stop):
        if not kept[row]:
            continue
        values, number, most = rows[row], np.int32(0), np.float32(0)
        for at in range(width):
            size = abs(values[at])
            hit = np.int32(size >= limits[at])
            counts[at] += hit
            number += hit
            most = max(most, size)
        fired[row] = number
        largest[row] = most
        own = bits[row]
        for at in range(0, width - LANES + 1, LANES):
            for lane in range(LANES):
                histogram[lane, (own[at + lane] & 0x7FFFFFFF) >> 20] += 1
        for at in range(width - width % LANES, width):
            histogram[0, (own[at] & 0x7FFFFFFF) >> 20] += 1


@njit(cache=_CACHE, nogil=True, parallel=True)
def tally_rows_parallel(rows, bits, kept, limits, counts, histogram, fired, largest, parts):
    count = len(rows)
    for part in prange(parts):
        start, stop = count * part // parts, count * (part + 1) // parts
        tally_rows(rows, bits, kept, limits, counts[part], histogram[part], fired, largest, start, stop)


@njit(cache=_CACHE, nogil=True, fastmath=True)
def row_moments(rows, moments, start, stop):
    """Largest size, mean, variance and fourth central moment of every row."""
    width = rows.shape[1]
    for row in range(start, stop):
        values = rows[row]
        total, most = np.float32(0), np.float32(0)
        for at in range(width):
            total += values[at]
            most = max(most, abs(values[at]))
        mean = total / np.float32(width)
        second, fourth = np.float32(0), np.float32(0)
        for at in range(width):
            square = (values[at] - mean) * (values[at] - mean)
            second += square
            fourth += square * square
        moments[row, 0] = most
        moments[row, 1] = mean
        moments[row, 2] = second / np.float32(width)
        moments[row, 3] = fourth / np.float32(width)


@njit(cache=_CACHE, nogil=True, parallel=True)
def row_moments_parallel(rows, moments, count, parts):
    for part in prange(parts):
        row_moments(rows, moments, count * part // parts, count * (part + 1) // parts)
