"""numba: the scores above a cutoff, however many a row has.

An entry is one int64: the bits of a float32 score above the number of its feature. NaN has one form of bits, the
largest. The entries of a tile stand row after row, by rising feature within a row, and `begins` says where each row
begins. Imported through `compiled.kernel_module` only.
"""

import numpy as np
from numba import njit, prange

from sparse_kernels.cpu.compiled import caching
from sparse_kernels.cpu.screening import dot

_CACHE = caching()
LANES = 8
"""Scores whose hits are looked at as one word; a row of the scratch buffer has room for so many more."""
SLACK = np.float32(1.02 * 2.0**-7)
"""Room for two roundings of a score to bfloat16 (unit roundoff 2^-8): the sum, and the sum with its bias."""
_LOW = np.int64(0xFFFFFFFF)
_NAN = np.int32(0x7FFFFFFF)


@njit(inline="always")
def _entry(bits, value, feature):
    return (np.int64(_NAN if value != value else bits) << 32) | np.int64(feature)


@njit(cache=_CACHE, nogil=True)
def _take(bits, values, hits, words, first, entries, end):
    """Append the scores of a row whose byte in `hits` is set; `words` are the same bytes, eight at a time."""
    for word in range(words.shape[0]):
        if words[word] == 0:
            continue
        for at in range(word * LANES, (word + 1) * LANES):
            if hits[at]:
                entries[end] = _entry(bits[at], values[at], first + at)
                end += 1
    return end


@njit(cache=_CACHE, nogil=True)
def collect(scores, bits, first, cutoffs, entries, begins, counts, start, stop):
    """Entries of the float32 scores [n, t] above their feature's cutoff, or NaN; rows apart by t + LANES."""
    width = scores.shape[1]
    hits = np.zeros((width + LANES - 1) // LANES * LANES, np.uint8)
    words = hits.view(np.int64)
    end = start * (width + LANES)
    for row in range(start, stop):
        score = scores[row]
        for at in range(width):
            hits[at] = (score[at] > cutoffs[at]) | (score[at] != score[at])
        begins[row] = end
        end = _take(bits[row], score, hits, words, first, entries, end)
        counts[row] = end - begins[row]


@njit(cache=_CACHE, nogil=True, parallel=True)
def collect_parallel(scores, bits, first, cutoffs, entries, begins, counts, rows, parts):
    for part in prange(parts):
        start, stop = rows * part // parts, rows * (part + 1) // parts
        collect(scores, bits, first, cutoffs, entries, begins, counts, start, stop)


@njit(cache=_CACHE, nogil=True)
def collect_rough(scores, first, cutoffs, bounds, entries, begins, counts, start, stop):
    """Entries of the bfloat16 scores, as their bits [n, t], whose float32 score may be above the cutoff."""
    width = scores.shape[1]
    hits = np.zeros((width + LANES - 1) // LANES * LANES, np.uint8)
    words = hits.view(np.int64)
    bits = np.empty(width, np.int32)
    values = bits.view(np.float32)
    end = start * (width + LANES)
    for row in range(start, stop):
        score, bound = scores[row], bounds[row]
        for at in range(width):
            bits[at] = np.int32(score[at]) << 16
        for at in range(width):
            hits[at] = values[at] + SLACK * abs(values[at]) > cutoffs[at] - bound
        begins[row] = end
        end = _take(bits, values, hits, words, first, entries, end)
        counts[row] = end - begins[row]


@njit(cache=_CACHE, nogil=True, parallel=True)
def collect_rough_parallel(scores, first, cutoffs, bounds, entries, begins, counts, rows, parts):
    for part in prange(parts):
        start, stop = rows * part // parts, rows * (part + 1) // parts
        collect_rough(scores, first, cutoffs, bounds, entries, begins, counts, start, stop)


@njit(cache=_CACHE, nogil=True)
def pack(entries, begins, packed, starts, start, stop):
    """Move each row's entries together: the row's go to packed[starts[row] : starts[row + 1]]."""
    for row in range(start, stop):
        begin = begins[row]
        for at in range(starts[row + 1] - starts[row]):
            packed[starts[row] + at] = entries[begin + at]


@njit(cache=_CACHE, nogil=True, parallel=True)
def pack_parallel(entries, begins, packed, starts, rows, parts):
    for part in prange(parts):
        pack(entries, begins, packed, starts, rows * part // parts, rows * (part + 1) // parts)


@njit(cache=_CACHE, nogil=True)
def settle(x, weight, bias, cutoffs, begins, entries, counts, start, stop):
    """Put float32 scores in the place of rough ones; what is not above its cutoff drops out."""
    word = np.empty(1, np.int32)
    value = word.view(np.float32)
    for row in range(start, stop):
        end = begins[row]
        for at in range(begins[row], begins[row + 1]):
            feature = entries[at] & _LOW
            value[0] = dot(x[row], weight[feature]) + bias[feature]
            if value[0] > cutoffs[feature] or value[0] != value[0]:
                entries[end] = _entry(word[0], value[0], feature)
                end += 1
        counts[row] = end - begins[row]


@njit(cache=_CACHE, nogil=True, parallel=True)
def settle_parallel(x, weight, bias, cutoffs, begins, entries, counts, rows, parts):
    for part in prange(parts):
        start, stop = rows * part // parts, rows * (part + 1) // parts
        settle(x, weight, bias, cutoffs, begins, entries, counts, start, stop)


@njit(cache=_CACHE, nogil=True)
def lower_bounds(begins, entries, bounds, lowest, start, stop):
    """The least that the float32 scores of rough entries can be."""
    word = np.empty(1, np.int32)
    value = word.view(np.float32)
    for row in range(start, stop):
        for at in range(begins[row], begins[row + 1]):
            word[0] = np.int32(entries[at] >> 32)
            lowest[at] = value[0] - SLACK * abs(value[0]) - bounds[row]


@njit(cache=_CACHE, nogil=True, parallel=True)
def lower_bounds_parallel(begins, entries, bounds, lowest, rows, parts):
    for part in prange(parts):
        lower_bounds(begins, entries, bounds, lowest, rows * part // parts, rows * (part + 1) // parts)


@njit(cache=_CACHE, nogil=True)
def sift_rough(begins, entries, bounds, cutoff, counts, start, stop):
    """Drop rough entries whose float32 score cannot be above the cutoff."""
    word = np.empty(1, np.int32)
    value = word.view(np.float32)
    for row in range(start, stop):
        end = begins[row]
        for at in range(begins[row], begins[row + 1]):
            entry = entries[at]
            word[0] = np.int32(entry >> 32)
            entries[end] = entry
            end += value[0] + SLACK * abs(value[0]) > cutoff - bounds[row]
        counts[row] = end - begins[row]


@njit(cache=_CACHE, nogil=True, parallel=True)
def sift_rough_parallel(begins, entries, bounds, cutoff, counts, rows, parts):
    for part in prange(parts):
        sift_rough(begins, entries, bounds, cutoff, counts, rows * part // parts, rows * (part + 1) // parts)


@njit(cache=_CACHE, nogil=True)
def count_equal(begins, entries, bits, counts, start, stop):
    """Entries of each row whose score has just these bits."""
    for row in range(start, stop):
        count = 0
        for at in range(begins[row], begins[row + 1]):
            count += (entries[at] >> 32) == bits
        counts[row] = count


@njit(cache=_CACHE, nogil=True, parallel=True)
def count_equal_parallel(begins, entries, bits, counts, rows, parts):
    for part in prange(parts):
        count_equal(begins, entries, bits, counts, rows * part // parts, rows * (part + 1) // parts)


@njit(cache=_CACHE, nogil=True)
def sift(begins, entries, bits, allowed, counts, start, stop):
    """Keep the positive scores with larger bits, and of those with just these bits the first allowed[row]."""
    for row in range(start, stop):
        end, left = begins[row], allowed[row]
        for at in range(begins[row], begins[row + 1]):
            entry = entries[at]
            own = entry >> 32
            entries[end] = entry
            end += own > bits or (own == bits and left > 0)
            left -= own == bits
        counts[row] = end - begins[row]


@njit(cache=_CACHE, nogil=True, parallel=True)
def sift_parallel(begins, entries, bits, allowed, counts, rows, parts):
    for part in prange(parts):
        sift(begins, entries, bits, allowed, counts, rows * part // parts, rows * (part + 1) // parts)


@njit(cache=_CACHE, nogil=True)
def write(begins, entries, places, index, bits, start, stop):
    """Write each row's entries from places[row] on, which moves past them."""
    for row in range(start, stop):
        place = places[row]
        for at in range(begins[row], begins[row + 1]):
            index[place] = entries[at] & _LOW
            bits[place] = np.int32(entries[at] >> 32)
            place += 1
        places[row] = place


@njit(cache=_CACHE, nogil=True, parallel=True)
def write_parallel(begins, entries, places, index, bits, rows, parts):
    for part in prange(parts):
        write(begins, entries, places, index, bits, rows * part // parts, rows * (part + 1) // parts)
