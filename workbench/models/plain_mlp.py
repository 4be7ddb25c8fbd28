"""The neurons of Hugging Face MLPs whose whole arithmetic is known."""

from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from sparse_kernels import Neurons
from workbench.core import ModelError

Activation = Literal["silu", "gelu", "gelu_tanh", "relu"]
_ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
_GATED = frozenset({"LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP", "Gemma2MLP", "Gemma3MLP"})
_PLAIN = {"GPT2MLP": ("c_fc", "c_proj"), "GPTNeoXMLP": ("dense_h_to_4h", "dense_4h_to_h")}


class PlainMlp(NamedTuple):
    """A model's own MLP module, its weights one row for each neuron (views where possible), and its activation."""

    module: nn.Module
    neurons: Neurons
    activation: Activation


def read_mlp(module: Any, config: Any) -> PlainMlp:
    """The weights of an MLP.

    Raises:
        ModelError: a family or an activation that is not known.
    """
    name = type(module).__name__
    settings = ("hidden_activation", "activation_function", "hidden_act", "activation")
    activation = next((found for key in settings if (found := getattr(config, key, None)) is not None), None)
    if activation not in _ACTIVATIONS or (name not in _GATED and name not in _PLAIN):
        known = ", ".join(sorted(_GATED | _PLAIN.keys()))
        raise ModelError(
            "cannot run this model's MLPs on some neurons",
            found=f"its MLPs are {name} with {activation}",
            hint=f"known are {known} with {', '.join(_ACTIVATIONS)}",
        )
    if name in _GATED:
        gate, up, down = module.gate_proj, module.up_proj, module.down_proj
    else:
        gate, (up, down) = None, (getattr(module, part) for part in _PLAIN[name])
    neurons = Neurons(
        _rows(up),
        _rows(down).T,
        None if gate is None else _rows(gate),
        _bias(up),
        None if gate is None else _bias(gate),
        _bias(down),
    )
    return PlainMlp(module, neurons, _ACTIVATIONS[activation])


def _rows(linear: Any) -> Tensor:
    """[out, in]."""
    weight = linear.weight.detach()
    return weight if isinstance(linear, nn.Linear) else weight.T


def _bias(linear: Any) -> Tensor | None:
    return None if linear.bias is None else linear.bias.detach()
