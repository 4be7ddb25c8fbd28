"""The CPU path's MLP on chosen neurons: no autograd, and no checks but that of the numbers in the index."""

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu.compiled import kernel_module, threads
from sparse_kernels.neurons import Neurons, check_range, dense_mlp

MANY = 16
"""Rows from which dense products on a copy of the shared neurons beat reading the neurons in place."""
SHARE, MOST_SHARES = 64, 32
"""Neurons that a share has at least, and shares at most."""
ACTIVATIONS = ("relu", "silu", "gelu", "gelu_tanh")
_NONE = np.empty(0, np.float32)


def gather_mlp(x: Tensor, neurons: Neurons, index: Tensor, activation: str) -> Tensor:
    """out [n e]; index [j] or [n j]."""
    n, j, e = x.shape[0], index.shape[-1], neurons.w_out.shape[1]
    if index.ndim == 1 and n >= MANY:
        check_range(index, len(neurons.w_in))
        with torch.no_grad():
            return dense_mlp(x, neurons.rows(index), activation).float()
    out = torch.empty(n, e)
    hidden = np.empty((n, j), np.float32)
    partial = np.empty((shares_of(j), n, e), np.float32)
    rows = index.numpy() if index.ndim == 2 else index.numpy()[None]
    operands = (x.numpy(), *_arrays(neurons), rows, ACTIVATIONS.index(activation), hidden, partial, out.numpy())
    if not _run("gather_mlp", operands):
        check_range(index, len(neurons.w_in))
    return out


def topk_mlp(x: Tensor, neurons: Neurons, k: int, activation: str) -> tuple[Tensor, Tensor]:
    """out [n e] and the neurons chosen, [n k] in rising order."""
    n, (m, e) = x.shape[0], neurons.w_out.shape
    out, index = torch.empty(n, e), torch.empty(n, k, dtype=torch.int64)
    scores = np.empty((n, m), np.float32)
    keys = np.empty((m,), np.int64)
    hidden = np.empty((n, k), np.float32)
    partial = np.empty((shares_of(k), n, e), np.float32)
    code = ACTIVATIONS.index(activation)
    operands = (x.numpy(), *_arrays(neurons), np.arange(m), code, scores, shares_of(m), keys, index.numpy(), hidden)
    _run("topk_mlp", (*operands, partial, out.numpy()))
    return out, index


def _run(name: str, operands: tuple[object, ...]) -> bool:
    kernels = kernel_module("neurons")
    with threads() as parts:
        return getattr(kernels, name if parts == 1 else f"{name}_parallel")(*operands)


def shares_of(size: int) -> int:
    """Into how many shares a set of neurons is cut."""
    return max(1, min(MOST_SHARES, size // SHARE))


def _arrays(neurons: Neurons) -> tuple[np.ndarray, ...]:
    """Gate, in and out weights in their own precision, then the biases in float32; nothing of what is missing."""
    w_in, w_out = _bits(neurons.w_in), _bits(neurons.w_out)
    w_gate = w_in[:0] if neurons.w_gate is None else _bits(neurons.w_gate)
    b_gate, b_in = (_NONE if bias is None else bias.float().numpy() for bias in (neurons.b_gate, neurons.b_in))
    b_out = np.zeros(w_out.shape[1], np.float32) if neurons.b_out is None else neurons.b_out.float().numpy()
    return w_gate, w_in, w_out, b_gate, b_in, b_out


def _bits(weight: Tensor) -> np.ndarray:
    """float32, or bfloat16 as the int16 of its bits."""
    return weight.numpy() if weight.dtype == torch.float32 else weight.view(torch.int16).numpy()
