"""numba: candidates from scores in bfloat16, and their exact values from the float32 operands.

A row's candidates are the features whose bfloat16 score is too large to rule out. With the k-th largest score t
and a bound e on what rounding the operands can do to a product, a feature of the true k best scores at least
`lower(t) - 2 e`; everything above that is kept and computed again in float32. A row for which this leaves too many
candidates, or reaches down to 0, is reported and must be computed in float32 throughout: what comes out is exact.

Imported through `compiled.kernel_module` only.
"""

import numpy as np
from numba import njit, prange

from sparse_kernels.cpu.compiled import caching
from sparse_kernels.cpu.topk import BLOCK, LOW, largest_first, rank_key, sort_down, value_bits

_CACHE = caching()
_ROUNDINGS = np.float32(2.0**-6)
"""Room for four roundings of a score to bfloat16 (unit roundoff 2^-8): the sum and the bias, at t and at the row."""
_SPLIT = np.float32(65537.0)
_GROUP = 16
"""Columns of a tile whose best score is found first."""
_TOGETHER = 512
"""Rows whose candidates are computed together: 1.2 MB of x at 576 columns."""
FAILED = -1
"""In place of a count: this row needs float32 throughout."""


def buffer_width(k: int) -> int:
    """Candidates that a row holds, with room for one block more; the margin needs more of them than k."""
    return 2 * k + max(k, min(4 * k, 160)) + BLOCK


@njit(cache=_CACHE, nogil=True, fastmath={"reassoc", "nsz", "contract"})
def dot(left, right):
    total = np.float32(0)
    for at in range(left.shape[0]):
        total += left[at] * right[at]
    return total


@njit(cache=_CACHE, nogil=True)
def _residuals(row, scratch):
    """What rounding to bfloat16 leaves over, by Dekker's splitting."""
    for at in range(row.shape[0]):
        lifted = row[at] * _SPLIT
        scratch[at] = row[at] - (lifted - (lifted - row[at]))


@njit(cache=_CACHE, nogil=True)
def norms(matrix, lengths, residuals, start, stop):
    """The length of each row, and of what rounding it to bfloat16 leaves over."""
    scratch = np.empty(matrix.shape[1], np.float32)
    for row in range(start, stop):
        _residuals(matrix[row], scratch)
        lengths[row] = np.sqrt(dot(matrix[row], matrix[row]))
        residuals[row] = np.sqrt(dot(scratch, scratch))


@njit(cache=_CACHE, nogil=True, parallel=True)
def norms_parallel(matrix, lengths, residuals, rows, parts):
    for part in prange(parts):
        norms(matrix, lengths, residuals, rows * part // parts, rows * (part + 1) // parts)


@njit(cache=_CACHE, nogil=True)
def _floor(score_bits, bound, word, value):
    """The bfloat16 bits that a score must exceed, if k features score at least the float with `score_bits`.

    -1 where that reaches down to 0. `word` and `value` are one float's bits and the float.
    """
    word[0] = np.int32(score_bits) << 16
    value[0] = value[0] - value[0] * _ROUNDINGS - 2 * bound
    return np.int16(max(0, (word[0] >> 16) - 1)) if value[0] > 0 else np.int16(-1)


@njit(cache=_CACHE, nogil=True)
def _cut(found, count, k, bound, word, value):
    """Drop what the k-th largest score rules out; returns the new count and the floor."""
    largest_first(found, count, k)
    floor = _floor(found[k - 1] >> 32, bound, word, value)
    kept = k
    for at in range(k, count):
        key = found[at]
        found[kept] = key
        kept += (key >> 32) > floor
    return kept, floor


@njit(cache=_CACHE, nogil=True)
def _raise_floor(best, ranked, k, floor, bound, word, value):
    """A floor from the best scores of groups: the k-th largest of them is no larger than the k-th score of all."""
    if k == 1:
        top = floor
        for group in range(best.shape[0]):
            top = max(top, best[group])
        return floor if top == floor else max(floor, _floor(np.int64(top), bound, word, value))
    count = 0
    for group in range(best.shape[0]):
        ranked[count] = (np.int64(best[group]) << 32) | group
        count += best[group] > floor
    if count <= k:
        return floor
    largest_first(ranked, count, k)
    return max(floor, _floor(ranked[k - 1] >> 32, bound, word, value))


@njit(cache=_CACHE, nogil=True)
def scan_candidates(scores, first, k, bounds, keys, counts, floors, start, stop):
    """Offer a tile of bfloat16 scores, as their bits [n, t], to each row's buffer of keys.

    Column c belongs to group c modulo the number of groups. The best of each group, a few vector instructions,
    give a floor close to the final one before anything is collected, and say which groups to look into.
    """
    width = scores.shape[1]
    groups = width // _GROUP
    limit = keys.shape[1] - BLOCK
    best = np.empty(groups, np.int16)
    passing = np.empty(groups + 1, np.int32)
    ranked = np.empty(groups + 1, np.int64)
    word = np.empty(1, np.int32)
    value = word.view(np.float32)
    for row in range(start, stop):
        count, floor = counts[row], floors[row]
        if count == FAILED:
            continue
        score, found = scores[row], keys[row]
        best[:] = score[:groups]
        for member in range(1, _GROUP):
            piece = score[member * groups : (member + 1) * groups]
            for group in range(groups):
                best[group] = max(best[group], piece[group])
        floor = _raise_floor(best, ranked, k, floor, bounds[row], word, value)
        taken = 0
        for group in range(groups):
            passing[taken] = group
            taken += best[group] > floor
        for visit in range(taken + 1):
            if visit < taken:
                begin, end, step = passing[visit], groups * _GROUP, groups
            else:
                begin, end, step = groups * _GROUP, width, 1
            for at in range(begin, end, step):
                found[count] = (np.int64(score[at]) << 32) | (LOW - np.int64(first + at))
                count += score[at] > floor
            if count > limit:
                count, cut_floor = _cut(found, count, k, bounds[row], word, value)
                floor = max(floor, cut_floor)
                if 4 * count > 3 * limit:
                    count = FAILED
                    break
        counts[row], floors[row] = count, floor


@njit(cache=_CACHE, nogil=True, parallel=True)
def scan_candidates_parallel(scores, first, k, bounds, keys, counts, floors, rows, parts):
    for part in prange(parts):
        scan_candidates(
            scores, first, k, bounds, keys, counts, floors, rows * part // parts, rows * (part + 1) // parts
        )


@njit(cache=_CACHE, nogil=True)
def _settle(bounds, keys, counts, k, start, stop, word, value):
    """Cut each row's candidates a last time; counts[row] says FAILED where they do not decide."""
    for row in range(start, stop):
        count, floor = counts[row], np.int16(-1)
        if count >= k:
            count, floor = _cut(keys[row], count, k, bounds[row], word, value)
        counts[row] = count if floor >= 0 else FAILED


@njit(cache=_CACHE, nogil=True)
def _compute(x, weight, bias, keys, counts, begins, owners, places, start, stop, word, value):
    """Replace the candidates of a block of rows by their float32 values.

    They are taken feature by feature: a row of the weights is read once, and the block's rows of x stay in the
    second cache, which gathering the weights row by row would overrun.
    """
    begins[:] = 0
    for row in range(start, stop):
        for at in range(counts[row]):
            begins[LOW - (keys[row, at] & LOW)] += 1
    total = 0
    for feature in range(begins.shape[0]):
        total += begins[feature]
        begins[feature] = total
    for row in range(stop - 1, start - 1, -1):
        for at in range(counts[row]):
            feature = LOW - (keys[row, at] & LOW)
            begins[feature] -= 1
            owners[begins[feature]], places[begins[feature]] = row, at
    for entry in range(total):
        row, at = owners[entry], places[entry]
        feature = LOW - (keys[row, at] & LOW)
        value[0] = dot(x[row], weight[feature]) + bias[feature]
        keys[row, at] = rank_key(word[0], value[0], feature)


@njit(cache=_CACHE, nogil=True)
def finish_candidates(x, weight, bias, bounds, keys, counts, index, bits, start, stop):
    """Compute each row's candidates in float32 and write the k best; counts[row] says FAILED where it cannot."""
    k = index.shape[1]
    word = np.empty(1, np.int32)
    value = word.view(np.float32)
    begins = np.empty(weight.shape[0], np.int64)
    owners = np.empty(min(_TOGETHER, stop - start) * keys.shape[1], np.int32)
    places = np.empty_like(owners)
    for block in range(start, stop, _TOGETHER):
        end = min(block + _TOGETHER, stop)
        _settle(bounds, keys, counts, k, block, end, word, value)
        _compute(x, weight, bias, keys, counts, begins, owners, places, block, end, word, value)
        for row in range(block, end):
            if counts[row] == FAILED:
                continue
            found = keys[row]
            largest_first(found, counts[row], k)
            sort_down(found[:k])
            for slot in range(k):
                index[row, slot] = LOW - (found[slot] & LOW)
                bits[row, slot] = value_bits(found[slot])


@njit(cache=_CACHE, nogil=True, parallel=True)
def finish_candidates_parallel(x, weight, bias, bounds, keys, counts, index, bits, rows, parts):
    for part in prange(parts):
        start, stop = rows * part // parts, rows * (part + 1) // parts
        finish_candidates(x, weight, bias, bounds, keys, counts, index, bits, start, stop)
