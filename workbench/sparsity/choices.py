"""Ways to run an MLP on some of its neurons, each with the weights that it reads for one token.

A fixed core is a sliced copy of the weights and three dense products. A token's own neurons are chosen by their gate
(CATS, Lee et al. 2024) and then gathered. The oracle looks at everything first: it saves nothing and bounds the rest.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sparse_kernels import Neurons, TokenMlp, linear, slice_mlp
from workbench.models import PlainMlp

from .core_neurons import Core, core_size

_FUNCTIONS = {
    "relu": torch.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
}

_FEW = 16
"""Tokens from which gathering costs more than dense products."""


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
        self._function, self._count, self._gated = _FUNCTIONS[mlp.activation], len(core), sliced.w_gate is not None
        first = [part for part in (sliced.w_gate, sliced.w_in) if part is not None]
        biases = [part for part in (sliced.b_gate, sliced.b_in) if part is not None]
        self._first, self._out = torch.cat(first), sliced.w_out.T.contiguous()
        self._first_bias = torch.cat(biases) if biases else None
        self._out_bias = sliced.b_out
        # In bfloat16 one row is faster through the kernel than through dense products, and more exact.
        self._one_row = TokenMlp(sliced, None, mlp.activation) if self._first.dtype == torch.bfloat16 else None

    @property
    def read_bytes(self) -> int:
        return self._first.nbytes + self._out.nbytes

    @property
    def held_bytes(self) -> int:
        return self.read_bytes * (1 if self._one_row is None else 2)

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        if self._one_row is not None and len(x) == 1:
            return self._one_row(x)
        made = functional.linear(x, self._first, self._first_bias)
        hidden = self._function(made[:, : self._count])
        if self._gated:
            hidden = hidden * made[:, self._count :]
        return functional.linear(hidden, self._out, self._out_bias)


class TokenNeurons:
    """For each token the neurons with the largest activation of the gate: the gate whole, the rest gathered.

    In an MLP without a gate the activation itself chooses, and only the second product is spared.

    Args:
        mlp: with contiguous rows, as `rows_of` makes them; several choices may share them.
    """

    def __init__(self, mlp: PlainMlp, density: float) -> None:
        self._neurons, self._k = mlp.neurons, core_size(len(mlp.neurons.w_in), density)
        self._mlp, self._run = mlp, TokenMlp(mlp.neurons, self._k, mlp.activation)

    @property
    def read_bytes(self) -> int:
        m, gated = len(self._neurons.w_in), self._neurons.w_gate is not None
        rows = self._neurons.w_in[0].nbytes
        return m * rows + self._k * (self._neurons.w_out[0].nbytes + (rows if gated else 0))

    @property
    def held_bytes(self) -> int:
        """The output's weights once more, one row for each neuron (models keep them the other way round)."""
        return self._neurons.w_out.nbytes

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        return self._run(x) if len(x) <= _FEW else self._dense(x)

    def _dense(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        """The same from dense products: of many tokens nearly every neuron is somebody's."""
        gate = _FUNCTIONS[self._mlp.activation](linear(x, *self._neurons.first()))
        hidden = gate if self._neurons.w_gate is None else gate * linear(x, self._neurons.w_in, self._neurons.b_in)
        kept = gate.abs().topk(self._k, dim=1).indices
        return project(self._mlp, torch.zeros_like(hidden).scatter(1, kept, hidden.gather(1, kept)))


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


def rows_of(mlp: PlainMlp) -> PlainMlp:
    """The same MLP with each neuron's weights in one piece of memory; what is so already is not copied."""
    parts = (None if part is None else part.contiguous() for part in mlp.neurons)
    return mlp._replace(neurons=Neurons(*parts))  # pyright: ignore[reportArgumentType]


def weight_bytes(mlp: PlainMlp) -> int:
    """Bytes of all the weights that a dense MLP reads for one token."""
    return sum(part.nbytes for part in mlp.neurons[:3] if part is not None)
