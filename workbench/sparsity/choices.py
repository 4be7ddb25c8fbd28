"""Ways to run an MLP on some of its neurons, each with the weights that it reads for one token.

A fixed core is a sliced copy of the weights and three dense products. A token's own neurons are chosen by their gate
(CATS, Lee et al. 2024) and then gathered. The oracle looks at everything first: it saves nothing and bounds the rest.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sparse_kernels import Neurons, gather_mlp, linear, slice_mlp, topk_mlp
from workbench.models import PlainMlp

from .core_neurons import Core, core_size

_FUNCTIONS = {
    "relu": torch.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
}


@runtime_checkable
class Choice(Protocol):
    """An MLP on the neurons that it chooses.

    `read_bytes`: weights read for one token. `held_bytes`: copies kept beside the model's own weights.
    """

    @property
    def read_bytes(self) -> int: ...
    @property
    def held_bytes(self) -> int: ...
    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]: ...


class FixedCore:
    """The same neurons for every token, as sliced weights: dense products, no gathering."""

    def __init__(self, mlp: PlainMlp, core: Core) -> None:
        sliced = slice_mlp(mlp.neurons, core)
        self._activation, self._function, self._count = mlp.activation, _FUNCTIONS[mlp.activation], len(core)
        self._gated, self._whole = sliced.w_gate is not None, None
        if sliced.w_in.dtype == torch.bfloat16:
            # One row of bfloat16 is the kernel's: dense products of so little convert more than they multiply.
            self._whole = (sliced, torch.arange(len(core)))
        first = [part for part in (sliced.w_gate, sliced.w_in) if part is not None]
        biases = [part for part in (sliced.b_gate, sliced.b_in) if part is not None]
        self._first, self._out = torch.cat(first), sliced.w_out.T.contiguous()
        self._first_bias = torch.cat(biases) if biases else None
        self._out_bias = sliced.b_out

    @property
    def read_bytes(self) -> int:
        return self._first.nbytes + self._out.nbytes

    @property
    def held_bytes(self) -> int:
        return self.read_bytes * (1 if self._whole is None else 2)

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        if self._whole is not None and len(x) == 1:
            neurons, every = self._whole
            return gather_mlp(x, neurons.w_in, neurons.w_out, every, **_rest(neurons), activation=self._activation)  # pyright: ignore[reportArgumentType]
        made = functional.linear(x, self._first, self._first_bias)
        hidden = self._function(made[:, : self._count])
        if self._gated:
            hidden = hidden * made[:, self._count :]
        return functional.linear(hidden, self._out, self._out_bias)


class TokenNeurons:
    """For each token the neurons with the largest activation of the gate: the gate whole, the rest gathered.

    In an MLP without a gate the activation itself chooses, and only the second product is spared.
    """

    def __init__(self, mlp: PlainMlp, density: float) -> None:
        neurons = mlp.neurons
        self._neurons = Neurons(*(None if part is None else part.contiguous() for part in neurons))  # pyright: ignore[reportArgumentType]
        self._shared = neurons
        self._k, self._activation = core_size(len(neurons.w_in), density), mlp.activation

    @property
    def read_bytes(self) -> int:
        m, gated = len(self._neurons.w_in), self._neurons.w_gate is not None
        rows = self._neurons.w_in[0].nbytes
        out = self._neurons.w_out[0].nbytes
        return m * rows + self._k * (out + (rows if gated else 0))

    @property
    def held_bytes(self) -> int:
        pairs = zip(self._neurons, self._shared, strict=True)
        return sum(own.nbytes for own, shared in pairs if own is not None and own is not shared)

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        n = self._neurons
        out, _ = topk_mlp(x, n.w_in, n.w_out, self._k, **_rest(n), activation=self._activation)  # pyright: ignore[reportArgumentType]
        return out


class TokenOracle:
    """For each token the largest hidden values, known only after all were computed: no saving, a bound."""

    def __init__(self, mlp: PlainMlp, density: float) -> None:
        self._mlp, self._k = mlp, core_size(len(mlp.neurons.w_in), density)

    @property
    def read_bytes(self) -> int:
        return weight_bytes(self._mlp)

    @property
    def held_bytes(self) -> int:
        return 0

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        hidden = hidden_of(self._mlp, x)
        kept = hidden.abs().topk(self._k, dim=1).indices
        return project(self._mlp, torch.zeros_like(hidden).scatter(1, kept, hidden.gather(1, kept)))


def hidden_of(mlp: PlainMlp, x: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
    """What goes into the MLP's second product."""
    hidden = _FUNCTIONS[mlp.activation](linear(x, *mlp.neurons.first()))
    if mlp.neurons.w_gate is not None:
        hidden = hidden * linear(x, mlp.neurons.w_in, mlp.neurons.b_in)
    return hidden


def project(mlp: PlainMlp, hidden: Float[Tensor, "n m"]) -> Float[Tensor, "n e"]:
    """The MLP's second product."""
    return linear(hidden, mlp.neurons.w_out.T, mlp.neurons.b_out)


def weight_bytes(mlp: PlainMlp) -> int:
    """Bytes of all the weights that a dense MLP reads for one token."""
    return sum(part.nbytes for part in mlp.neurons[:3] if part is not None)


def _rest(neurons: Neurons) -> dict[str, Tensor | None]:
    return {name: getattr(neurons, name) for name in ("w_gate", "b_in", "b_gate", "b_out")}
