"""The Triton path's MLP on chosen neurons: no checks, no autograd."""

import torch
from torch import Tensor

from sparse_kernels.gpu import launch, neurons as kernels
from sparse_kernels.neurons import Neurons

_ACTIVATIONS = ("relu", "silu", "gelu", "gelu_tanh")
SHARE, MOST_SPLITS = 64, 32
"""Neurons that a split of the second layer has at least, and splits at most."""


def gather_mlp(x: Tensor, neurons: Neurons, index: Tensor, activation: str) -> Tensor:
    """out [n e]; index [j] or [n j]."""
    hidden = torch.empty(len(x), index.shape[-1], device=x.device)
    _hidden(x, neurons, index, hidden, activation, given=False)
    return _output(hidden, neurons, index)


def topk_mlp(x: Tensor, neurons: Neurons, k: int, activation: str) -> tuple[Tensor, Tensor]:
    """out [n e] and the neurons chosen, [n k] in rising order."""
    weight, bias = neurons.first()
    scores = torch.empty(len(x), len(weight), device=x.device)
    every = torch.arange(len(weight), device=x.device)
    _hidden(x, Neurons(weight, weight, b_in=bias), every, scores, activation, given=False)
    order = torch.sort(scores.abs(), dim=1, descending=True, stable=True).indices
    index = order[:, :k].sort(dim=1).values
    hidden = scores.gather(1, index)
    if neurons.w_gate is not None:
        _hidden(x, Neurons(neurons.w_in, neurons.w_out, b_in=neurons.b_in), index, hidden, activation, given=True)
    return _output(hidden, neurons, index), index


def _hidden(x: Tensor, neurons: Neurons, index: Tensor, hidden: Tensor, activation: str, given: bool) -> None:
    (n, d), j = x.shape, index.shape[-1]
    shape = launch.rows_of(d, j)
    b_in, b_gate = (x if bias is None else bias.float() for bias in (neurons.b_in, neurons.b_gate))
    gate = neurons.w_in if neurons.w_gate is None else neurons.w_gate
    launch.start(
        kernels.neuron_hidden,
        (n, -(-j // shape.constants["SLOTS"])),
        x,
        neurons.w_in,
        b_in,
        gate,
        b_gate,
        index,
        hidden,
        j,
        d,
        0 if index.ndim == 1 else j,
        GATED=neurons.w_gate is not None,
        GIVEN=given,
        IN_BIAS=neurons.b_in is not None,
        GATE_BIAS=neurons.b_gate is not None,
        ACTIVATION=_ACTIVATIONS.index(activation),
        **shape.options,
    )


def _output(hidden: Tensor, neurons: Neurons, index: Tensor) -> Tensor:
    (n, j), e = hidden.shape, neurons.w_out.shape[1]
    shape = launch.rows_of(e, j)
    splits = max(1, min(MOST_SPLITS, j // SHARE))
    partial = torch.empty(splits, n, e, device=hidden.device)
    launch.start(
        kernels.neuron_output,
        (n, -(-e // shape.constants["COLUMNS"]), splits),
        hidden,
        neurons.w_out,
        index,
        partial,
        n,
        j,
        e,
        0 if index.ndim == 1 else j,
        -(-j // splits),
        **shape.options,
    )
    out = partial.sum(0)
    return out if neurons.b_out is None else out + neurons.b_out.float()
