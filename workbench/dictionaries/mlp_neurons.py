"""An MLP's own neurons as units that read its input: the gate is held, the rest is linear."""

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from workbench.core import Codes, Config, ConfigError, Site

from .base import Dictionary, Readers

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_new": lambda z: functional.gelu(z, approximate="tanh"),
    "gelu_pytorch_tanh": lambda z: functional.gelu(z, approximate="tanh"),
}


class MLPNeuronsConfig(Config):
    """How many neurons of an MLP are units."""

    k: int = Field(default=32, ge=1, description="neurons that are units at a position; the others are the error")


class MLPNeurons(Dictionary):
    """y = b_out + sum of a_i W_out[i] over the k neurons with the largest |a_i| |W_out[i]|, from the model's weights.

    a = act(W_gate x) * (W_in x + b_in) in a gated MLP, else a = act(W_in x + b_in). As a node a neuron is read with its
    gate held: act(W_gate x) there, and act(z) / z for z = W_in x + b_in here, so that its value is its pre-activation.

    Args:
        activation: one of `ACTIVATIONS`, named as in the model's configuration.
        w_in, w_gate, w_out: [f, d], one row a neuron; w_gate None where the MLP has none.
    """

    family: ClassVar[str] = "mlp-neurons"
    config_class: ClassVar[type[Config]] = MLPNeuronsConfig
    unit_kind: ClassVar[str] = "neuron"

    def __init__(
        self,
        config: MLPNeuronsConfig,
        layer: int,
        activation: str,
        w_in: Float[Tensor, "f d"],
        w_out: Float[Tensor, "f d"],
        w_gate: Float[Tensor, "f d"] | None = None,
        b_in: Float[Tensor, " f"] | None = None,
        b_out: Float[Tensor, " d"] | None = None,
        name: str = "",
    ) -> None:
        if activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ConfigError(f"neurons with the activation {activation!r} are not known", hint=f"known: {known}")
        self._width = len(w_in)
        super().__init__(config, {Site("mlp_in", layer): w_in.shape[1]}, {Site("mlp_out", layer): w_out.shape[1]}, name)
        self._act, self._k = ACTIVATIONS[activation], min(config.k, self._width)
        self.w_in, self.w_out = _fixed(w_in), _fixed(w_out)
        self.w_gate = None if w_gate is None else _fixed(w_gate)
        self.b_in = _fixed(w_in.new_zeros(len(w_in)) if b_in is None else b_in)
        self.b_out = _fixed(w_out.new_zeros(w_out.shape[1]) if b_out is None else b_out)

    @property
    def width(self) -> int:
        return self._width

    def encode(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Codes:
        x = self._input(inputs, self.reads[0])
        linear = torch.addmm(self.b_in, x, self.w_in.T)
        value = self._act(linear) if self.w_gate is None else self._act(x @ self.w_gate.T) * linear
        index = (value.abs() * self.w_out.norm(dim=1)).topk(self._k, dim=1).indices
        return Codes(index, value.gather(1, index), self.width)

    def decode(self, codes: Codes) -> dict[Site, Float[Tensor, "n d"]]:
        return {self.writes[0]: codes.dense() @ self.w_out + self.b_out}

    def pre_activations(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Float[Tensor, "n f"]:
        return torch.addmm(self.b_in, self._input(inputs, self.reads[0]), self.w_in.T)

    def readers(self, codes: Codes, inputs: Mapping[Site, Float[Tensor, "m d"]] | None = None) -> Readers | None:
        if inputs is None:
            return None
        x, index = self._input(inputs, self.reads[0]), codes.index.flatten()
        rows, bias = self.w_in[index], self.b_in[index]
        if self.w_gate is not None:
            gate = self._act((x * self.w_gate[index]).sum(1))
        else:
            linear = (x * rows).sum(1) + bias
            gate = torch.where(linear == 0, 0.0, self._act(linear) / torch.where(linear == 0, 1.0, linear))
        return Readers(rows * gate[:, None], bias * gate)

    def writers(self, index: Int[Tensor, " m"]) -> dict[Site, Float[Tensor, "m d"]]:
        return {self.writes[0]: self.w_out[index]}


def _fixed(weight: Tensor) -> torch.nn.Parameter:
    return torch.nn.Parameter(weight.detach().contiguous(), requires_grad=False)
