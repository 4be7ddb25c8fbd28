"""numba: the k best features of each row, kept while the product runs over tiles of features.

A candidate is one int64: the float's bits in an order that sorts as the floats do, above the complement of
the feature's number. A plain comparison then puts larger values first, equal values by lower feature, NaN
above all. Each row collects candidates above its threshold in a buffer of a few k; a full buffer is cut back to
the k best, and the worst of those is the new threshold. (A heap of k, updated at each insertion, took three
times as long.)

Imported through `compiled.kernel_module` only.
"""

import numpy as np
from numba import njit, prange

from sparse_kernels.cpu.compiled import caching

_CACHE = caching()
LOW = np.int64(0xFFFFFFFF)
_NAN = np.int32(0x7FFFFFFF)

BLOCK = 64
"""Scores looked at together: one vector comparison tells whether any of them passes the threshold."""


def buffer_width(k: int) -> int:
    """Candidates that a row holds before they are cut back to k, with room for one block more."""
    return k + max(k, min(3 * k, 96)) + BLOCK


@njit(inline="always")
def rank_key(bits, value, feature):
    if value != value:
        ordered = _NAN
    elif value == 0:
        ordered = np.int32(0)  # -0.0 ties with 0.0
    elif bits < 0:
        ordered = bits ^ _NAN
    else:
        ordered = bits
    return (np.int64(ordered) << 32) | (LOW - np.int64(feature))


@njit(inline="always")
def value_bits(key):
    ordered = np.int32(key >> 32)
    if ordered < 0:
        ordered ^= _NAN
    return ordered


@njit(cache=_CACHE, nogil=True)
def largest_first(keys, count, k):
    """Quickselect, its inner loop free of branches: the k largest of keys[:count] come first."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) >> 1
        a, b, c = keys[low], keys[middle], keys[high]
        if (a < b) == (b < c):
            keys[middle], keys[high] = c, b
        elif (b < a) == (a < c):
            keys[low], keys[high] = c, a
        pivot = keys[high]
        store = low
        for at in range(low, high):
            key = keys[at]
            keys[at] = keys[store]
            keys[store] = key
            store += key > pivot
        keys[high] = keys[store]
        keys[store] = pivot
        if store == k - 1:
            return
        if store < k - 1:
            low = store + 1
        else:
            high = store - 1


@njit(cache=_CACHE, nogil=True)
def scan_rows(scores, bits, first, k, keys, counts, floors, relu, start, stop):
    """Offer a tile of scores [n, t] to each row's buffer of keys.

    floors[row] is the bits of the row's threshold; it counts once the buffer has been cut back to k. Before
    that a ReLU row takes what is positive and any other row takes everything.
    """
    width = scores.shape[1]
    limit = keys.shape[1] - BLOCK
    passing = np.empty(BLOCK, np.int32)
    floor_bits = np.empty(1, np.int32)
    floor_value = floor_bits.view(np.float32)
    for row in range(start, stop):
        score, score_bits, found = scores[row], bits[row], keys[row]
        count = counts[row] & LOW
        settled = counts[row] > LOW
        open_door = not relu and not settled
        floor_bits[0] = floors[row]
        floor = floor_value[0]
        for block in range(0, width, BLOCK):
            piece = score[block : min(block + BLOCK, width)]
            hits = np.int32(0)
            for at in range(piece.shape[0]):
                hits += np.int32(not (piece[at] <= floor))
            if hits == 0 and not open_door:
                continue
            hits = np.int32(0)
            for at in range(piece.shape[0]):
                passing[hits] = at
                hits += np.int32(open_door or not (piece[at] <= floor))
            for hit in range(hits):
                at = block + passing[hit]
                found[count] = rank_key(score_bits[at], score[at], first + at)
                count += 1
            if count > limit:
                largest_first(found, count, k)
                count = k
                floor_bits[0] = value_bits(found[k - 1])
                floor = floor_value[0]
                settled, open_door = True, False
        floors[row] = floor_bits[0]
        counts[row] = count | ((LOW + 1) if settled else 0)


@njit(cache=_CACHE, nogil=True, parallel=True)
def scan_rows_parallel(scores, bits, first, k, keys, counts, floors, relu, rows, parts):
    for part in prange(parts):
        scan_rows(
            scores,
            bits,
            first,
            k,
            keys,
            counts,
            floors,
            relu,
            rows * part // parts,
            rows * (part + 1) // parts,
        )


@njit(cache=_CACHE, nogil=True)
def sort_down(keys):
    """Insertion sort, largest first; numba's own sort from 64 keys on."""
    if keys.shape[0] > 64:
        keys[:] = np.sort(keys)[::-1]
        return
    for at in range(1, keys.shape[0]):
        key = keys[at]
        slot = at
        while slot > 0 and keys[slot - 1] < key:
            keys[slot] = keys[slot - 1]
            slot -= 1
        keys[slot] = key


@njit(cache=_CACHE, nogil=True)
def _pad(index, bits, count):
    """Fill the slots from `count` on with value 0 and the lowest features that are not there yet."""
    taken = np.sort(index[:count])
    feature, passed = 0, 0
    for slot in range(count, index.shape[0]):
        while passed < count and taken[passed] == feature:
            feature += 1
            passed += 1
        index[slot] = feature
        bits[slot] = 0
        feature += 1


@njit(cache=_CACHE, nogil=True)
def finish_rows(keys, counts, index, bits, start, stop):
    """Write each row's k best, largest first."""
    k = index.shape[1]
    for row in range(start, stop):
        count = counts[row] & LOW
        if count > k:
            largest_first(keys[row], count, k)
            count = np.int64(k)
        sort_down(keys[row, :count])
        for slot in range(count):
            index[row, slot] = LOW - (keys[row, slot] & LOW)
            bits[row, slot] = value_bits(keys[row, slot])
        if count < k:
            _pad(index[row], bits[row], count)


@njit(cache=_CACHE, nogil=True, parallel=True)
def finish_rows_parallel(keys, counts, index, bits, rows, parts):
    for part in prange(parts):
        finish_rows(keys, counts, index, bits, rows * part // parts, rows * (part + 1) // parts)
