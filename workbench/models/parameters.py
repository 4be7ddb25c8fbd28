"""Canonical parameter names and orientation <-> the bridge's own, per family.

The bridge keeps Hugging Face's orientation: linear layers [out, in], GPT-2's Conv1D [in, out], Gemma's norm
weights as offsets from 1, Gemma's embedding without its scale. Where a family stores queries, keys and values
in one matrix, the live weights are the bridge's split copies.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from workbench.core import ModelError, ShapeError, nearest

from .shape import ModelShape

_MATRIX = re.compile(r"blocks\.\d+\.(attn\.W_[QKVO]|mlp\.W_(gate|in|out))")


@dataclass(frozen=True)
class Parameter:
    """One weight: its place in the wrapped model and the way to and from the canonical form."""

    path: str
    module: nn.Module
    attribute: str
    read: Callable[[Tensor], Tensor]
    write: Callable[[Tensor], Tensor]

    @property
    def canonical(self) -> Tensor:
        return self.read(getattr(self.module, self.attribute))


class Parameters:
    """The canonical view of one bridge's weights."""

    def __init__(self, bridge: Any, shape: ModelShape) -> None:
        self.shape = shape
        self._paths = {id(module): path for path, module in bridge.original_model.named_modules()}
        self._found: dict[str, Parameter] = {}
        self._embeddings(bridge)
        for layer, block in enumerate(bridge.blocks):
            self._block(f"blocks.{layer}", block)
        self._norm("ln_final", bridge.ln_final)

    def canonical(self) -> dict[str, Tensor]:
        """Every parameter by its canonical name."""
        return {name: parameter.canonical for name, parameter in self._found.items()}

    def overrides(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Canonical overrides in the form that `torch.func.functional_call` takes; gradients flow through.

        Raises:
            ModelError: the model has no such parameter. ShapeError: an override has another shape.
        """
        found = {}
        for name, tensor in weights.items():
            parameter = self._found.get(name)
            if parameter is None:
                raise ModelError(f"the model has no parameter {name!r}", hint=nearest(name, self._found))
            wanted = parameter.canonical
            if tensor.shape != wanted.shape:
                raise ShapeError(f"{name} wants shape {tuple(wanted.shape)}", f"found {tuple(tensor.shape)}")
            found[parameter.path] = parameter.write(tensor.to(wanted.device, wanted.dtype))
        return found

    def matrices(self) -> tuple[str, ...]:
        """The weights of attention and MLPs that inputs are multiplied with."""
        return tuple(name for name in self._found if _MATRIX.fullmatch(name))

    def linear(self, name: str) -> tuple[nn.Module, bool]:
        """The layer that holds a matrix, and whether it stores [in, out].

        Raises:
            ModelError: there is no such matrix.
        """
        if name not in self.matrices():
            raise ModelError(f"the model has no matrix {name!r}", hint=nearest(name, self.matrices()))
        module = self._found[name].module
        return module, _is_in_out(module)

    def as_linear(self, name: str, tensor: Tensor) -> Tensor:
        """A tensor in a matrix's canonical form as [out, in]; a view where its strides allow it."""
        is_in_out = self.linear(name)[1]
        found = self._found[name].write(tensor)
        return found.T if is_in_out else found

    def _embeddings(self, bridge: Any) -> None:
        table = bridge.embed.original_component
        scale = getattr(table, "embed_scale", None)
        if scale is None:
            self._add("embed.W_E", table, "weight")
        else:
            factor = scale.to(table.weight.dtype) if isinstance(scale, Tensor) else scale
            self._add("embed.W_E", table, "weight", lambda w: w * factor, lambda w: w / factor)
        if not self.shape.rotary:
            self._add("pos_embed.W_pos", bridge.pos_embed.original_component, "weight")
        self._add("unembed.W_U", bridge.unembed.original_component, "weight", _transpose, _transpose)
        self._bias("unembed.b_U", bridge.unembed.original_component)

    def _block(self, prefix: str, block: Any) -> None:
        parts = dict(block.named_children())
        for name in ("ln1", "ln1_post", "ln2", "ln2_post"):
            if name in parts:
                self._norm(f"{prefix}.{name}", parts[name])
        if "attn" in parts:
            self._attention(f"{prefix}.attn", dict(parts["attn"].named_children()))
        if "mlp" in parts:
            self._mlp(f"{prefix}.mlp", dict(parts["mlp"].named_children()))

    def _attention(self, prefix: str, parts: dict[str, Any]) -> None:
        shape = self.shape
        for part, letter, heads in (
            ("q", "Q", shape.n_heads),
            ("k", "K", shape.n_kv_heads),
            ("v", "V", shape.n_kv_heads),
        ):
            if part in parts:
                linear = parts[part].original_component
                self._add(f"{prefix}.W_{letter}", linear, "weight", *_heads_out(heads, _is_in_out(linear)))
                self._bias(f"{prefix}.b_{letter}", linear, heads)
        if "o" in parts:
            linear = parts["o"].original_component
            self._add(f"{prefix}.W_O", linear, "weight", *_heads_in(shape.n_heads, _is_in_out(linear)))
            self._bias(f"{prefix}.b_O", linear)
        for name in ("q_norm", "k_norm"):
            if name in parts:
                self._norm(f"{prefix}.{name}", parts[name])

    def _mlp(self, prefix: str, parts: dict[str, Any]) -> None:
        for part in ("gate", "in", "out"):
            if part in parts and isinstance(getattr(parts[part].original_component, "weight", None), Tensor):
                linear = parts[part].original_component
                turn = _same if _is_in_out(linear) else _transpose
                self._add(f"{prefix}.W_{part}", linear, "weight", turn, turn)
                self._bias(f"{prefix}.b_{part}", linear)

    def _norm(self, prefix: str, bridge_norm: Any) -> None:
        norm = bridge_norm.original_component
        if getattr(norm, "weight", None) is None:
            return
        if bridge_norm.uses_weight_offset:
            self._add(f"{prefix}.w", norm, "weight", lambda w: 1 + w, lambda w: w - 1)
        else:
            self._add(f"{prefix}.w", norm, "weight")
        self._bias(f"{prefix}.b", norm)

    def _bias(self, name: str, module: nn.Module, heads: int | None = None) -> None:
        # The bridge gives an unembedding without bias a buffer of zeros; that is no parameter.
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            read = _same if heads is None else lambda b: b.unflatten(0, (heads, -1))
            self._add(name, module, "bias", read, _same if heads is None else lambda b: b.flatten())

    def _add(
        self,
        name: str,
        module: nn.Module,
        attribute: str,
        read: Callable[[Tensor], Tensor] | None = None,
        write: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        path = f"{self._paths[id(module)]}.{attribute}"
        self._found[name] = Parameter(path, module, attribute, read or _same, write or _same)


def _same(weight: Tensor) -> Tensor:
    return weight


def _transpose(weight: Tensor) -> Tensor:
    return weight.T


def _is_in_out(linear: nn.Module) -> bool:
    """True for GPT-2's Conv1D, which stores [in, out]."""
    return type(linear).__name__ == "Conv1D"


def _heads_out(heads: int, in_out: bool) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """[h, d_model, d_head] from and to a projection onto heads."""
    if in_out:
        return (
            lambda w: w.unflatten(1, (heads, -1)).permute(1, 0, 2),
            lambda w: w.permute(1, 0, 2).flatten(1),
        )
    return (
        lambda w: w.unflatten(0, (heads, -1)).permute(0, 2, 1),
        lambda w: w.permute(0, 2, 1).flatten(0, 1),
    )


def _heads_in(heads: int, in_out: bool) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """[h, d_head, d_model] from and to a projection from heads."""
    if in_out:
        return lambda w: w.unflatten(0, (heads, -1)), lambda w: w.flatten(0, 1)
    return (
        lambda w: w.unflatten(1, (heads, -1)).permute(1, 2, 0),
        lambda w: w.permute(2, 0, 1).flatten(1),
    )
