"""gather_mlp and topk_mlp: an MLP evaluated on some of its neurons, for one token or a small batch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels.dispatch import Backend, choose_backend
from sparse_kernels.errors import KernelError
from sparse_kernels.neurons import (
    Activation,
    Neurons,
    check_index,
    check_neurons,
    check_range,
    dense_mlp,
    gather_mlp_reference,
    neuron_operations,
    topk_mlp_reference,
)
from sparse_kernels.operands import check_k, describe


def gather_mlp(
    x: Float[Tensor, "n d"],
    w_in: Float[Tensor, "m d"],
    w_out: Float[Tensor, "m e"],
    index: Int[Tensor, "*j"] | None = None,
    *,
    w_gate: Float[Tensor, "m d"] | None = None,
    b_in: Float[Tensor, " m"] | None = None,
    b_gate: Float[Tensor, " m"] | None = None,
    b_out: Float[Tensor, " e"] | None = None,
    activation: Activation = "silu",
    backend: Backend = "auto",
) -> Float[Tensor, "n e"]:
    """An MLP with the neurons of `index` only: [j] for one set for all rows, [n, j] for one set for each row.

    Plain: out = sum over chosen neurons of activation(x . w_in + b_in) * w_out, plus b_out. With `w_gate`:
    activation(x . w_gate + b_gate) * (x . w_in + b_in) in place of the activation. Without an index all neurons
    count. All weights hold one row for each neuron: `w_in` and `w_gate` as nn.Linear has them, `w_out` the
    transpose of nn.Linear's, kept so once and for all (rows that are not contiguous are copied in every call).
    A neuron that occurs twice counts twice; an empty set gives b_out.

    For inference: no gradients. Products are float32 also where the weights are float16 or bfloat16 (on a CPU
    bfloat16 halves the time; float16 is copied to float32 first), rounded at the end. One set for more than a few
    rows goes through dense products on a copy of the set, which round to the weights' dtype between the two layers.

    One token reads j (2 d + d_out) weights (gated) and computes twice as many operations: bound by memory. d 2048,
    m 8192, a quarter of the neurons: 25 MB in bfloat16 and 25 MFLOP, 7.5 us on an H100 at 3.35 TB/s.

    Raises: KernelError for operands that do not fit one another; on a CPU also for an index outside 0..m-1.
    """
    neurons = Neurons(w_in, w_out, w_gate, b_in, b_gate, b_out)
    check_neurons(x, neurons, activation)
    chosen = choose_backend(backend, x, len(w_in))
    if index is None:
        if chosen == "cpu" and x.dtype == torch.float32:
            with torch.no_grad():
                return dense_mlp(x, neurons, activation)
        index = torch.arange(len(w_in), device=x.device)
    else:
        check_index(index, x)
    if chosen == "reference" or 0 in (*x.shape, *w_out.shape, *index.shape):
        if index.device.type == "cpu":
            check_range(index, len(w_in))
        with torch.no_grad():
            return gather_mlp_reference(x, neurons, index, activation)
    out = neuron_operations(chosen).gather_mlp(_wide(x), readable(neurons), _int64(index), activation)
    return out if out.dtype == x.dtype else out.to(x.dtype)


def topk_mlp(
    x: Float[Tensor, "n d"],
    w_in: Float[Tensor, "m d"],
    w_out: Float[Tensor, "m e"],
    k: int,
    *,
    w_gate: Float[Tensor, "m d"] | None = None,
    b_in: Float[Tensor, " m"] | None = None,
    b_gate: Float[Tensor, " m"] | None = None,
    b_out: Float[Tensor, " e"] | None = None,
    activation: Activation = "silu",
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "n e"], Int[Tensor, "n k"]]:
    """gather_mlp with the k neurons of each row whose activation is largest in size, and which they are.

    The activation, activation(x . w_gate + b_gate) or in a plain MLP activation(x . w_in + b_in), is computed for
    all neurons; the other weights are read for the chosen ones only. Ties go to the lowest neuron, NaN ranks above
    everything; index holds each row's neurons in rising order. Weights and precision as in `gather_mlp`; the
    activations that choose are float32 throughout. Per-token top-k as in "The Lazy Neuron Phenomenon" (Li et al.
    2022), on the gate as in CATS (Lee et al. 2024). For inference: no gradients.

    One token reads m d + k (d + d_out) weights (gated). d 2048, m 8192, a quarter of the neurons: 50 MB in
    bfloat16 and 50 MFLOP, 15 us on an H100 at 3.35 TB/s.

    Raises: KernelError for operands that do not fit one another, or a k outside 1..m.
    """
    neurons = Neurons(w_in, w_out, w_gate, b_in, b_gate, b_out)
    check_neurons(x, neurons, activation)
    check_k(k, len(w_in))
    chosen = choose_backend(backend, x, len(w_in))
    if chosen == "reference" or 0 in (*x.shape, *w_out.shape):
        with torch.no_grad():
            return topk_mlp_reference(x, neurons, k, activation)
    out, index = neuron_operations(chosen).topk_mlp(_wide(x), readable(neurons), k, activation)
    return (out if out.dtype == x.dtype else out.to(x.dtype)), index


def slice_mlp(neurons: Neurons, index: Int[Tensor, " j"]) -> Neurons:
    """A contiguous copy of some neurons, for a set that stays: `gather_mlp(x, **core._asdict())` evaluates it.

    Raises: KernelError for an index that is not [j] or names no neuron.
    """
    check_neurons(neurons.w_in[:0], neurons, "relu")
    if index.ndim != 1:
        raise KernelError(f"index: wanted [j]; found {describe(index)}")
    check_index(index, neurons.w_in)
    check_range(index, len(neurons.w_in))
    return neurons.rows(index.long())


def readable(neurons: Neurons) -> Neurons:
    """As the kernels read it: float32 or bfloat16, contiguous. Calls of PyTorch that change nothing are left out.

    For one token and a small model they would take as long as the work.
    """
    if all(weight is None or _ready(weight) for weight in neurons):
        return neurons
    ready = (None if weight is None else _own(weight) for weight in neurons)
    return Neurons(*ready)  # pyright: ignore[reportArgumentType]


def _ready(weight: Tensor) -> bool:
    return weight.is_contiguous() and weight.dtype != torch.float16 and not weight.requires_grad


def _own(weight: Tensor) -> Tensor:
    return (weight.float() if weight.dtype == torch.float16 else weight).detach().contiguous()


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float32 and _ready(x) else x.detach().float().contiguous()


def _int64(index: Tensor) -> Tensor:
    return index if index.dtype == torch.int64 and index.is_contiguous() else index.long().contiguous()
