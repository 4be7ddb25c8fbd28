"""numba: an MLP on chosen neurons, every weight matrix one row for each neuron, each chosen row read once.

Weights are float32, or the bits of bfloat16 as int16, widened on the way through the registers. A product with one
row is bound by memory: half the bytes is half the time, four rows are read side by side, and the beginnings of the
next four are fetched ahead, from where the processor follows by itself. A set of neurons is cut into shares by its
size alone, and the shares' sums are added in order: the result does not depend on the number of threads.

Imported through `compiled.kernel_module` only.
"""

import math

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from sparse_kernels.cpu.compiled import caching
from sparse_kernels.cpu.prefetch import prefetch
from sparse_kernels.cpu.topk import largest_first, rank_key

_CACHE = caching()
_SUM_ORDER_FREE = {"reassoc", "nsz", "contract"}
_AHEAD = 16
"""Lines fetched ahead of each row."""
_LINE = 64
RELU, SILU, GELU, GELU_TANH = range(4)
_HALF, _ONE = np.float32(0.5), np.float32(1)
_ROOT_HALF = np.float32(math.sqrt(0.5))
_ROOT_TWO_OVER_PI = np.float32(math.sqrt(2 / math.pi))
_CUBIC = np.float32(0.044715)


def _wide(element):
    raise NotImplementedError("for compiled code")


@overload(_wide)
def _wide_compiled(element):
    if isinstance(element, types.Integer):
        return lambda element: np.int32(np.int32(element) << np.int32(16)).view(np.float32)
    return lambda element: element


@njit(cache=_CACHE, nogil=True)
def _activate(value, activation):
    if activation == RELU:
        return np.float32(0) if value <= 0 else value
    if activation == SILU:
        return value / (_ONE + math.exp(-value))
    if activation == GELU:
        return _HALF * value * (_ONE + math.erf(value * _ROOT_HALF))
    return _HALF * value * (_ONE + math.tanh(_ROOT_TWO_OVER_PI * (value + _CUBIC * value * value * value)))


@njit(cache=_CACHE, nogil=True)
def _fetch_four(weight, index, at):
    """Start to load the rows index[at : at + 4], where there are so many."""
    if at + 4 > index.shape[0]:
        return
    elements = _LINE // weight.itemsize
    for column in range(0, min(_AHEAD * elements, weight.shape[1]), elements):
        for slot in range(at, at + 4):
            prefetch(weight, index[slot], column)  # pyright: ignore[reportCallIssue]


@njit(cache=_CACHE, nogil=True, fastmath=_SUM_ORDER_FREE)
def _dot(left, right):
    total = np.float32(0)
    for c in range(left.shape[0]):
        total += left[c] * _wide(right[c])
    return total


@njit(cache=_CACHE, nogil=True, fastmath=_SUM_ORDER_FREE)
def _dot_four(left, w0, w1, w2, w3):
    t0 = t1 = t2 = t3 = np.float32(0)
    for c in range(left.shape[0]):
        t0 += left[c] * _wide(w0[c])
        t1 += left[c] * _wide(w1[c])
        t2 += left[c] * _wide(w2[c])
        t3 += left[c] * _wide(w3[c])
    return t0, t1, t2, t3


@njit(cache=_CACHE, nogil=True)
def _products(x, first, last, weight, bias, index, out):
    """out[i - first, j] = x[i] . weight[index[j]] + bias[index[j]] for the rows from `first` to before `last`."""
    at, end = 0, index.shape[0]
    while at + 4 <= end:
        _fetch_four(weight, index, at + 4)
        w0, w1, w2, w3 = weight[index[at]], weight[index[at + 1]], weight[index[at + 2]], weight[index[at + 3]]
        for row in range(first, last):
            t0, t1, t2, t3 = _dot_four(x[row], w0, w1, w2, w3)
            own = out[row - first]
            own[at], own[at + 1], own[at + 2], own[at + 3] = t0, t1, t2, t3
        at += 4
    for slot in range(at, end):
        for row in range(first, last):
            out[row - first, slot] = _dot(x[row], weight[index[slot]])
    if bias.shape[0]:
        for row in range(last - first):
            for slot in range(end):
                out[row, slot] += bias[index[slot]]


@njit(cache=_CACHE, nogil=True)
def _activations(x, first, last, weight, bias, index, activation, out):
    _products(x, first, last, weight, bias, index, out)
    for row in range(out.shape[0]):
        for slot in range(out.shape[1]):
            out[row, slot] = _activate(out[row, slot], activation)


@njit(cache=_CACHE, nogil=True)
def _gate(x, first, last, weight, bias, index, hidden):
    """Multiply activated gates by the products that they let through."""
    products = np.empty(hidden.shape, np.float32)
    _products(x, first, last, weight, bias, index, products)
    for row in range(hidden.shape[0]):
        for slot in range(hidden.shape[1]):
            hidden[row, slot] *= products[row, slot]


@njit(cache=_CACHE, nogil=True, fastmath={"contract"})
def _add_rows(hidden, index, weight, total):
    """total += hidden[j] * weight[index[j]]."""
    at, end = 0, index.shape[0]
    while at + 4 <= end:
        _fetch_four(weight, index, at + 4)
        h0, h1, h2, h3 = hidden[at], hidden[at + 1], hidden[at + 2], hidden[at + 3]
        w0, w1, w2, w3 = weight[index[at]], weight[index[at + 1]], weight[index[at + 2]], weight[index[at + 3]]
        for c in range(total.shape[0]):
            total[c] += (h0 * _wide(w0[c]) + h1 * _wide(w1[c])) + (h2 * _wide(w2[c]) + h3 * _wide(w3[c]))
        at += 4
    for slot in range(at, end):
        h0, w0 = hidden[slot], weight[index[slot]]
        for c in range(total.shape[0]):
            total[c] += h0 * _wide(w0[c])


@njit(cache=_CACHE, nogil=True)
def _bound(size, share, shares):
    return size if share == shares else size * share // shares // 4 * 4


@njit(cache=_CACHE, nogil=True)
def _gather_share(x, w_gate, w_in, w_out, b_gate, b_in, index, activation, hidden, partial, share):
    """One share of the neurons of all rows; index [1 j] holds for every row, [n j] one set for each."""
    begin, end = _bound(index.shape[1], share, partial.shape[0]), _bound(index.shape[1], share + 1, partial.shape[0])
    gated, together = w_gate.shape[0] > 0, x.shape[0] // index.shape[0]
    for first in range(0, x.shape[0], together):
        last = first + together
        chosen, own = index[first // together, begin:end], hidden[first:last, begin:end]
        if gated:
            _activations(x, first, last, w_gate, b_gate, chosen, activation, own)
            _gate(x, first, last, w_in, b_in, chosen, own)
        else:
            _activations(x, first, last, w_in, b_in, chosen, activation, own)
        for row in range(first, last):
            partial[share, row] = 0
            _add_rows(hidden[row, begin:end], chosen, w_out, partial[share, row])


@njit(cache=_CACHE, nogil=True)
def _add_shares(partial, b_out, out):
    for row in range(out.shape[0]):
        out[row] = b_out
        for share in range(partial.shape[0]):
            for c in range(out.shape[1]):
                out[row, c] += partial[share, row, c]


@njit(cache=_CACHE, nogil=True)
def _within(index, neurons):
    for row in range(index.shape[0]):
        for slot in range(index.shape[1]):
            if index[row, slot] < 0 or index[row, slot] >= neurons:
                return False
    return True


@njit(cache=_CACHE, nogil=True)
def gather_mlp(x, w_gate, w_in, w_out, b_gate, b_in, b_out, index, activation, hidden, partial, out):
    """out[i] = the MLP at x[i] with the neurons of index only; False if some of these do not exist."""
    if not _within(index, w_in.shape[0]):
        return False
    for share in range(partial.shape[0]):
        _gather_share(x, w_gate, w_in, w_out, b_gate, b_in, index, activation, hidden, partial, share)
    _add_shares(partial, b_out, out)
    return True


@njit(cache=_CACHE, nogil=True, parallel=True)
def gather_mlp_parallel(x, w_gate, w_in, w_out, b_gate, b_in, b_out, index, activation, hidden, partial, out):
    if not _within(index, w_in.shape[0]):
        return False
    for share in prange(partial.shape[0]):
        _gather_share(x, w_gate, w_in, w_out, b_gate, b_in, index, activation, hidden, partial, share)
    _add_shares(partial, b_out, out)
    return True


@njit(cache=_CACHE, nogil=True)
def _score_share(x, weight, bias, every, activation, scores, share, shares):
    begin, end = _bound(every.shape[0], share, shares), _bound(every.shape[0], share + 1, shares)
    own = scores[:, begin:end]
    _activations(x, 0, x.shape[0], weight, bias, every[begin:end], activation, own)


@njit(cache=_CACHE, nogil=True)
def _choose(scores, keys, index, hidden):
    """The largest |scores| of a row, ties to the lower neuron; written in rising order of the neurons."""
    k = index.shape[0]
    word = np.empty(1, np.int32)
    size = word.view(np.float32)
    for neuron in range(scores.shape[0]):
        size[0] = abs(scores[neuron])
        keys[neuron] = rank_key(word[0], size[0], neuron)
    largest_first(keys, keys.shape[0], k)
    worst = keys[0]
    for slot in range(1, k):
        worst = min(worst, keys[slot])
    taken = 0
    for neuron in range(scores.shape[0]):
        size[0] = abs(scores[neuron])
        if rank_key(word[0], size[0], neuron) >= worst:
            index[taken], hidden[taken] = neuron, scores[neuron]
            taken += 1


@njit(cache=_CACHE, nogil=True)
def _chosen_share(x, gated, w_in, w_out, b_in, index, hidden, partial, share):
    """As `_gather_share`, where `hidden` holds the activations that chose the neurons."""
    begin, end = _bound(index.shape[1], share, partial.shape[0]), _bound(index.shape[1], share + 1, partial.shape[0])
    for row in range(x.shape[0]):
        chosen = index[row, begin:end]
        if gated:
            _gate(x, row, row + 1, w_in, b_in, chosen, hidden[row : row + 1, begin:end])
        partial[share, row] = 0
        _add_rows(hidden[row, begin:end], chosen, w_out, partial[share, row])


@njit(cache=_CACHE, nogil=True)
def topk_mlp(
    x, w_gate, w_in, w_out, b_gate, b_in, b_out, every, activation, scores, shares, keys, index, hidden, partial, out
):
    """gather_mlp with the neurons of the largest activations of each row, which go to `index`."""
    gated = w_gate.shape[0] > 0
    weight, bias = (w_gate, b_gate) if gated else (w_in, b_in)
    for share in range(shares):
        _score_share(x, weight, bias, every, activation, scores, share, shares)
    for row in range(x.shape[0]):
        _choose(scores[row], keys, index[row], hidden[row])
    for share in range(partial.shape[0]):
        _chosen_share(x, gated, w_in, w_out, b_in, index, hidden, partial, share)
    _add_shares(partial, b_out, out)


@njit(cache=_CACHE, nogil=True, parallel=True)
def topk_mlp_parallel(
    x, w_gate, w_in, w_out, b_gate, b_in, b_out, every, activation, scores, shares, keys, index, hidden, partial, out
):
    gated = w_gate.shape[0] > 0
    weight, bias = (w_gate, b_gate) if gated else (w_in, b_in)
    for share in prange(shares):
        _score_share(x, weight, bias, every, activation, scores, share, shares)
    for row in range(x.shape[0]):
        _choose(scores[row], keys, index[row], hidden[row])
    for share in prange(partial.shape[0]):
        _chosen_share(x, gated, w_in, w_out, b_in, index, hidden, partial, share)
    _add_shares(partial, b_out, out)
