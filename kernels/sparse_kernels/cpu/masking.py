"""numba: weights times soft masks, and the gradient to the masks' logits, each in one pass over its operands.

Weights are float32, or the bits of bfloat16 as int16, widened and narrowed in the registers. The exponential is written
out, so that the loops are vectors: compiled code calls no vector library.

Imported through `compiled.kernel_module` only.
"""

import numpy as np
from numba import njit, prange, types
from numba.extending import overload

from sparse_kernels.cpu.compiled import caching

_CACHE = caching()
_NO_REORDER = {"contract", "nsz"}
_ONE, _MOST = np.float32(1), np.float32(87)
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_TO_WHOLE = np.float32(1.5 * 2**23)
"""Added to a number this rounds it: no digits are left behind the point."""
_C2, _C3, _C4 = np.float32(0.5), np.float32(1.6666665459e-1), np.float32(4.1665795894e-2)
_C5, _C6, _C7 = np.float32(8.3334519073e-3), np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)


def _wide(element):
    raise NotImplementedError("for compiled code")


@overload(_wide, inline="always")
def _wide_compiled(element):
    if isinstance(element, types.Integer):
        return lambda element: np.int32(np.int32(element) << np.int32(16)).view(np.float32)
    return lambda element: element


def _narrow(value, like):
    raise NotImplementedError("for compiled code")


@overload(_narrow, inline="always")
def _narrow_compiled(value, like):
    if not isinstance(like, types.Integer):
        return lambda value, like: value

    def rounded(value, like):
        bits = np.float32(value).view(np.int32)
        return np.int16((bits + np.int32(0x7FFF) + ((bits >> np.int32(16)) & np.int32(1))) >> np.int32(16))

    return rounded


@njit(cache=_CACHE, nogil=True, fastmath=_NO_REORDER)
def _sigmoid(x):
    """1 / (1 + exp(-x)), with exp as in Cephes: a power of two times a polynomial over [-ln 2 / 2, ln 2 / 2]."""
    z = _MOST if -x > _MOST else -x
    z = -_MOST if z < -_MOST else z
    shifted = z * _LOG2_E + _TO_WHOLE
    whole = shifted - _TO_WHOLE
    r = (z - whole * _LN2_HIGH) - whole * _LN2_LOW
    series = ((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _C2
    power = np.int32((np.float32(shifted).view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
    return _ONE / (_ONE + (series * (r * r) + (r + _ONE)) * power)


@njit(cache=_CACHE, nogil=True, fastmath=_NO_REORDER, error_model="numpy")
def mask_weight(weight, logits, temperature, out, start, stop):
    """out = weight * sigmoid(temperature * logits), from entry `start` to before `stop`."""
    weight, logits, out = weight[start:stop], logits[start:stop], out[start:stop]
    for at in range(out.shape[0]):
        out[at] = _narrow(_wide(weight[at]) * _sigmoid(temperature * logits[at]), weight[at])


@njit(cache=_CACHE, nogil=True, parallel=True)
def mask_weight_parallel(weight, logits, temperature, out, entries, parts):
    for part in prange(parts):
        start, stop = entries * part // parts, entries * (part + 1) // parts
        mask_weight(weight, logits, temperature, out, start, stop)


@njit(cache=_CACHE, nogil=True, fastmath=_NO_REORDER, error_model="numpy")
def mask_gradient(gradient, weight, logits, temperature, penalty, out, start, stop):
    """out = (gradient * weight + penalty) * T s (1 - s), from entry `start` to before `stop`."""
    gradient, weight, logits, out = gradient[start:stop], weight[start:stop], logits[start:stop], out[start:stop]
    for at in range(out.shape[0]):
        soft = _sigmoid(temperature * logits[at])
        slope = temperature * (soft - soft * soft)
        out[at] = (_wide(gradient[at]) * _wide(weight[at]) + penalty) * slope


@njit(cache=_CACHE, nogil=True, parallel=True)
def mask_gradient_parallel(gradient, weight, logits, temperature, penalty, out, entries, parts):
    for part in prange(parts):
        start, stop = entries * part // parts, entries * (part + 1) // parts
        mask_gradient(gradient, weight, logits, temperature, penalty, out, start, stop)
