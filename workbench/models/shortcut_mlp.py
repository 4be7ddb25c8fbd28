"""The MLP past what hooks would need: while nothing looks into it, its hidden layer is never held whole.

Rows go through in pieces, and the activation is applied where the product was just computed. With packed weights
activation and gate are part of the product; without, both products land in buffers that are used again, since touching
fresh memory costs more than the arithmetic on it. In bfloat16 the last bits differ from the step-by-step path, which
rounds more often.
"""

import threading
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sparse_kernels import PackedWeight

from .packed import packed_forward
from .products import has_own_product

HIDDEN_BYTES = 6 << 20
"""Of the hidden layer in one piece: few enough to stay in the cache, enough rows for the product's full speed."""
_LEAST_ROWS = 128
_ACTIVATIONS = {"silu": "silu", "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
_PLAIN = frozenset({"GPT2MLP", "GPTNeoXMLP"})
_GATED = frozenset({"LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP", "Gemma2MLP", "Gemma3MLP"})


class MlpShortcut:
    """Chooses per call between the bridge's MLP and the short way; does what the bridge does to the outer hooks."""

    def __init__(self, mlp: Any, observed: Callable[..., Tensor], activation: str) -> None:
        self._mlp, self._observed, self._activation = mlp, observed, _ACTIVATIONS[activation]
        self._own = mlp.original_component
        parts = dict(mlp.named_children())
        self._parts = [parts[name] for name in ("gate", "in", "out") if name in parts]
        self._linears = [part.original_component for part in self._parts]
        self.watch: Callable[[Float[Tensor, "n f"]], None] | None = None
        """Sees the hidden layer piece by piece, rows in their order, wherever the short way is taken."""

    @classmethod
    def fits(cls, mlp: Any, activation: str) -> bool:
        """Whether this is an MLP whose whole arithmetic is known."""
        name = type(mlp.original_component).__name__
        parts = dict(mlp.named_children())
        wanted = {"in", "out"} | ({"gate"} if name in _GATED else set())
        return activation in _ACTIVATIONS and name in _PLAIN | _GATED and wanted <= parts.keys()

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        if len(args) != 1 or kwargs or not self._applies(args[0]):
            return self._observed(*args, **kwargs)
        packed = self._packed(args[0])
        if packed is None and args[0].dtype != torch.float32:
            return self._observed(*args, **kwargs)
        x = self._mlp.hook_in(args[0])
        flat = x.reshape(-1, x.shape[-1])
        out = self._in_pieces(flat, self._buffered if packed is None else lambda rows, _: self._fused(rows, packed))
        return self._mlp.hook_out(out.reshape(x.shape))

    def _applies(self, x: Any) -> bool:
        """No gradient is asked for, nothing hooks the inside, the module is the model's own, and it runs on a CPU."""
        if self._mlp.original_component is not self._own or self._own.training or not isinstance(x, Tensor):
            return False
        if any(has_own_product(linear) for linear in self._linears):
            return False
        weights = [weight for linear in self._linears for weight in _weights(linear)]
        if x.device.type != "cpu" or any(weight.dtype != x.dtype or weight.device != x.device for weight in weights):
            return False
        if x.numel() < _LEAST_ROWS * x.shape[-1]:
            return False
        if torch.is_grad_enabled() and (
            self._mlp.hook_in.has_hooks() or any(tensor.requires_grad for tensor in (x, *weights))
        ):
            return False
        return not any(hook.has_hooks() for part in self._parts for hook in (part.hook_in, part.hook_out))

    def _packed(self, x: Tensor) -> list[PackedWeight] | None:
        """The packed weights if all of them can be used."""
        forwards = [packed_forward(linear) for linear in self._linears]
        ready = [forward and forward.ready(x) for forward in forwards]
        return [weight for weight in ready if weight is not None] if all(ready) else None

    def _in_pieces(self, x: Tensor, piece: Callable[[Tensor, Tensor | None], Tensor]) -> Tensor:
        """`piece(rows, where to put them)` over pieces of about equal size; a single piece is what it gives."""
        hidden = _out_features(self._linears[0]) * x.element_size()
        count = -(-len(x) // max(_LEAST_ROWS, HIDDEN_BYTES // hidden))
        if count == 1:
            return piece(x, None)
        out = torch.empty_like(x)
        for rows, place in zip(x.tensor_split(count), out.tensor_split(count), strict=True):
            made = piece(rows, place)
            if made is not place:
                place.copy_(made)
        return out

    def _fused(self, x: Tensor, weights: list[PackedWeight]) -> Float[Tensor, "n d"]:
        biases = [linear.bias for linear in self._linears]
        hidden = weights[0].activated(x, biases[0], self._activation)
        if len(weights) == 3:
            hidden = weights[1].times(x, biases[1], hidden)
        if self.watch is not None:
            self.watch(hidden)
        return weights[-1](hidden, biases[-1])

    def _buffered(self, x: Tensor, place: Tensor | None) -> Float[Tensor, "n d"]:
        first, *gated, last = self._linears
        hidden = _activate(_product(x, first, _buffers.take("hidden", x, first)), self._activation)
        for linear in gated:
            hidden.mul_(_product(x, linear, _buffers.take("gated", x, linear)))
        if self.watch is not None:
            self.watch(hidden)
        return _product(hidden, last, torch.empty_like(x) if place is None else place)


class Buffers(threading.local):
    """Hidden layers of one piece, used again by the next piece, layer and model of the same thread."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    def take(self, name: str, x: Tensor, linear: nn.Module) -> Tensor:
        """An uninitialised [n e] that the next request under `name` overwrites."""
        size = len(x) * _out_features(linear)
        kept = self._kept.get(name)
        if kept is None or kept.numel() < size or kept.dtype != x.dtype:
            with torch.inference_mode(False):
                kept = self._kept[name] = torch.empty(size, dtype=x.dtype)
        return kept[:size].view(len(x), -1)


_buffers = Buffers()


def _weights(linear: Any) -> tuple[Tensor, ...]:
    return (linear.weight,) if linear.bias is None else (linear.weight, linear.bias)


def _out_features(linear: Any) -> int:
    return linear.out_features if isinstance(linear, nn.Linear) else linear.nf


def _product(x: Tensor, linear: Any, out: Tensor) -> Tensor:
    weight = linear.weight.T if isinstance(linear, nn.Linear) else linear.weight
    return torch.mm(x, weight, out=out) if linear.bias is None else torch.addmm(linear.bias, x, weight, out=out)


def _activate(x: Tensor, name: str) -> Tensor:
    if name == "silu":
        return nn.functional.silu(x, inplace=True)
    return torch.ops.aten.gelu_(x, approximate="tanh" if name == "gelu_tanh" else "none")
