"""The weights of an MLP, one row for each neuron, their checks, and what its operations mean in plain PyTorch."""

import functools
import importlib
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, cast, get_args, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels.dense import linear
from sparse_kernels.dispatch import Chosen
from sparse_kernels.errors import KernelError
from sparse_kernels.operands import INTEGERS, check_like, check_matrix, describe

Activation = Literal["silu", "gelu", "gelu_tanh", "relu"]

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": torch.nn.functional.silu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "relu": torch.relu,
}


class Neurons(NamedTuple):
    """The weights of a plain MLP, or with `w_gate` of a gated one: down(activation(gate(x)) * up(x))."""

    w_in: Float[Tensor, "m d"]
    w_out: Float[Tensor, "m e"]
    w_gate: Float[Tensor, "m d"] | None = None
    b_in: Float[Tensor, " m"] | None = None
    b_gate: Float[Tensor, " m"] | None = None
    b_out: Float[Tensor, " e"] | None = None

    def first(self) -> tuple[Tensor, Tensor | None]:
        """The weights and bias whose product goes through the activation."""
        return (self.w_in, self.b_in) if self.w_gate is None else (self.w_gate, self.b_gate)

    def rows(self, index: Int[Tensor, "*j"]) -> "Neurons":
        """A copy of the neurons in `index`, the output bias kept."""
        picked = (None if weight is None else weight[index] for weight in self[:-1])
        return Neurons(*picked, b_out=self.b_out)  # pyright: ignore[reportArgumentType, reportCallIssue]

    def wide(self) -> "Neurons":
        """Half precision as float32."""
        weights = (None if weight is None else _wide(weight) for weight in self)
        return Neurons(*weights)  # pyright: ignore[reportArgumentType, reportCallIssue]


@runtime_checkable
class NeuronOperations(Protocol):
    """What a native backend brings: x float32, weights float32 or bfloat16, contiguous, int64 indices; no checks."""

    def gather_mlp(self, x: Tensor, neurons: Neurons, index: Tensor, activation: str) -> Tensor: ...

    def topk_mlp(self, x: Tensor, neurons: Neurons, k: int, activation: str) -> tuple[Tensor, Tensor]: ...


@functools.cache
def neuron_operations(chosen: Chosen) -> NeuronOperations:
    """The module that holds them, imported on first use."""
    room = {"cpu": "cpu", "triton": "gpu"}[chosen]
    return cast(NeuronOperations, importlib.import_module(f"sparse_kernels.{room}.mlp"))


def gather_mlp_reference(x: Tensor, neurons: Neurons, index: Tensor, activation: str) -> Tensor:
    """Copy the chosen rows and evaluate them densely. Half precision computes in float32."""
    chosen = neurons.rows(index.long()).wide()
    hidden = _affine(x, chosen.w_in, chosen.b_in)
    if chosen.w_gate is None:
        hidden = FUNCTIONS[activation](hidden)
    else:
        hidden = hidden * FUNCTIONS[activation](_affine(x, chosen.w_gate, chosen.b_gate))
    out = torch.einsum("nj,je->ne" if index.ndim == 1 else "nj,nje->ne", hidden, chosen.w_out)
    return (out if chosen.b_out is None else out + chosen.b_out).to(x.dtype)


def dense_mlp(x: Tensor, neurons: Neurons, activation: str) -> Tensor:
    """All neurons by dense products in the weights' own precision."""
    x = x.to(neurons.w_in.dtype)
    hidden = FUNCTIONS[activation](linear(x, *neurons.first()))
    if neurons.w_gate is not None:
        hidden = hidden * linear(x, neurons.w_in, neurons.b_in)
    return linear(hidden, neurons.w_out.T, neurons.b_out)


def topk_mlp_reference(x: Tensor, neurons: Neurons, k: int, activation: str) -> tuple[Tensor, Tensor]:
    """Evaluate every activation, sort their sizes stably, keep k neurons of each row."""
    weight, bias = neurons.first()
    scores = FUNCTIONS[activation](_affine(x, _wide(weight), None if bias is None else _wide(bias)))
    order = torch.sort(scores.abs(), dim=1, descending=True, stable=True).indices
    index = order[:, :k].sort(dim=1).values
    return gather_mlp_reference(x, neurons, index, activation), index


def check_neurons(x: Tensor, neurons: Neurons, activation: str) -> None:
    """x [n d], weights [m ...] and biases agree with one another."""
    if activation not in get_args(Activation):
        raise KernelError(f"activation: wanted one of {', '.join(get_args(Activation))}; found {activation!r}")
    check_matrix("x", x, "rows [n, d]")
    check_matrix("w_in", neurons.w_in, "one row for each neuron, [m, d]")
    check_matrix("w_out", neurons.w_out, "one row for each neuron, [m, d_out]")
    m, d = neurons.w_in.shape
    if d != x.shape[1]:
        raise KernelError(f"w_in: wanted [m, {x.shape[1]}] to fit x {describe(x)}; found {describe(neurons.w_in)}")
    e = neurons.w_out.shape[1]
    if len(neurons.w_out) != m:
        hint = "; try .T, for nn.Linear keeps it transposed" if e == m else ""
        raise KernelError(
            f"w_out: wanted [{m}, d_out] to fit w_in {describe(neurons.w_in)}; found {describe(neurons.w_out)}{hint}"
        )
    shapes = ((m, d), (m, e), (m, d), (m,), (m,), (e,))
    for name, weight, shape in zip(Neurons._fields, neurons, shapes, strict=True):
        if weight is None:
            continue
        if weight.shape != shape:
            raise KernelError(f"{name}: wanted {list(shape)} to fit w_in and w_out; found {describe(weight)}")
        check_like(name, weight, "x", x)
    if neurons.b_gate is not None and neurons.w_gate is None:
        raise KernelError("b_gate: wanted w_gate beside it; found none")


def check_index(index: Tensor, x: Tensor) -> None:
    """index [j] or [n j], its contents apart."""
    if index.dtype not in INTEGERS:
        raise KernelError(f"index: wanted int64 or int32; found {describe(index)}")
    if index.ndim not in (1, 2) or (index.ndim == 2 and len(index) != len(x)):
        raise KernelError(f"index: wanted [j], or [{len(x)}, j] to fit x {describe(x)}; found {describe(index)}")
    if index.device != x.device:
        raise KernelError(f"index: wanted the device of x ({x.device}); found {describe(index)}")


def check_range(index: Tensor, neurons: int) -> None:
    """Every number in the index is a neuron's."""
    if index.numel():
        low, high = (int(bound) for bound in index.aminmax())
        if low < 0 or high >= neurons:
            raise KernelError(f"index: wanted neurons 0 to {neurons - 1} of w_in; found {low} to {high}")


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[n j] from weights [j d] for all rows, or [n j d] for each."""
    product = torch.einsum("nd,jd->nj" if weight.ndim == 2 else "nd,njd->nj", _wide(x), weight)
    return product if bias is None else product + bias


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
