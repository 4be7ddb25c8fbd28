"""Masks under Hugging Face's parameter names <-> canonical names and orientation, family by family.

GPT-2 stores [in, out], and queries, keys and values side by side; GPT-NeoX stores them head by head ([q, k, v] of head
0, then of head 1); Llama and its like store each apart, [out, in].
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.core import ArtifactError, ModelError
from workbench.models import ModelShape

from .subnetwork import Subnetwork

_LLAMA = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"})
_SIMPLE = {"mlp.gate_proj": "mlp.W_gate", "mlp.up_proj": "mlp.W_in", "mlp.down_proj": "mlp.W_out"}


class _Stored(NamedTuple):
    """One parameter of a block: its canonical names, the shape in which it is stored, and the ways there and back."""

    names: tuple[str, ...]
    shape: tuple[int, ...]
    read: Callable[[Tensor], tuple[Tensor, ...]]
    write: Callable[..., Tensor]


def from_hugging_face(masks: Mapping[str, Bool[Tensor, "*s"]], shape: ModelShape) -> Subnetwork:
    """Masks by Hugging Face's parameter names as a Subnetwork; those of biases, norms and embeddings must keep all.

    Raises:
        ArtifactError: an unknown name, a wrong shape, a matrix without a mask, or a mask over what is always kept.
        ModelError: a family whose names are not known here.
    """
    stored, found = _layout(shape), {}
    for name, mask in masks.items():
        place = re.fullmatch(rf"{_prefix(shape)}\.(\d+)\.(.+)\.weight", name)
        entry = stored.get(place[2]) if place else None
        if entry is None:
            if not bool(mask.all()):
                raise ArtifactError(f"masks are for matrices of attention and MLPs, found one for {name}")
            continue
        assert place is not None
        if tuple(mask.shape) != entry.shape or int(place[1]) >= shape.n_layers:
            raise ArtifactError(f"{name} wants a mask of shape {entry.shape}", found=f"found {tuple(mask.shape)}")
        for own, part in zip(entry.names, entry.read(mask), strict=True):
            found[f"blocks.{int(place[1])}.{own}"] = part
    wanted = [f"blocks.{n}.{own}" for n in range(shape.n_layers) for entry in stored.values() for own in entry.names]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ArtifactError("the masks do not cover the model", found=f"nothing for {', '.join(missing[:3])}")
    return Subnetwork({name: found[name].contiguous() for name in wanted})


def to_hugging_face(subnetwork: Subnetwork, shape: ModelShape) -> dict[str, Bool[Tensor, "*s"]]:
    """A Subnetwork under Hugging Face's parameter names, each of the parameter's shape.

    Raises:
        ModelError: a family whose names are not known here, or a matrix that shares its parameter has no mask.
    """
    found = {}
    for layer in range(shape.n_layers):
        for name, entry in _layout(shape).items():
            parts = [subnetwork.masks.get(f"blocks.{layer}.{own}") for own in entry.names]
            if all(part is None for part in parts):
                continue
            if any(part is None for part in parts):
                raise ModelError(f"{name} of layer {layer} is one parameter", found="only parts of it have masks")
            found[f"{_prefix(shape).replace(chr(92), '')}.{layer}.{name}.weight"] = entry.write(*parts).contiguous()
    return found


def _prefix(shape: ModelShape) -> str:
    if shape.family in _LLAMA:
        return r"model\.layers"
    return {"gpt2": r"transformer\.h", "gpt_neox": r"gpt_neox\.layers"}[_known(shape)]


def _layout(shape: ModelShape) -> dict[str, _Stored]:
    return {"gpt2": _gpt2, "gpt_neox": _gpt_neox}.get(_known(shape), _llama)(shape)


def _known(shape: ModelShape) -> str:
    if shape.family not in _LLAMA | {"gpt2", "gpt_neox"}:
        raise ModelError(f"the parameter names of a {shape.family} are not known here")
    return shape.family


def _llama(shape: ModelShape) -> dict[str, _Stored]:
    d, heads, own = shape.d_model, {"q": shape.n_heads, "k": shape.n_kv_heads, "v": shape.n_kv_heads}, {}
    for letter, count in heads.items():
        own[f"self_attn.{letter}_proj"] = _Stored(
            (f"attn.W_{letter.upper()}",),
            (count * shape.d_head, d),
            lambda w, count=count: (w.unflatten(0, (count, -1)).transpose(1, 2),),
            lambda w: w.transpose(1, 2).flatten(0, 1),
        )
    own["self_attn.o_proj"] = _Stored(
        ("attn.W_O",),
        (d, shape.n_heads * shape.d_head),
        lambda w: (w.T.unflatten(0, (shape.n_heads, -1)),),
        lambda w: w.flatten(0, 1).T,
    )
    names = {theirs: ours for theirs, ours in _SIMPLE.items() if shape.gated or ours != "mlp.W_gate"}
    return own | {theirs: _turned(ours, shape, ours == "mlp.W_out") for theirs, ours in names.items()}


def _turned(name: str, shape: ModelShape, out: bool) -> _Stored:
    """A matrix of the MLP stored as [out, in]."""
    sizes = (shape.d_model, shape.d_mlp) if out else (shape.d_mlp, shape.d_model)
    return _Stored((name,), sizes, lambda w: (w.T,), lambda w: w.T)


def _gpt2(shape: ModelShape) -> dict[str, _Stored]:
    d, heads = shape.d_model, shape.n_heads
    split = ("attn.W_Q", "attn.W_K", "attn.W_V")
    return {
        "attn.c_attn": _Stored(
            split,
            (d, 3 * d),
            lambda w: tuple(part.unflatten(1, (heads, -1)).transpose(0, 1) for part in w.split(d, 1)),
            lambda *parts: torch.cat([part.transpose(0, 1).flatten(1) for part in parts], 1),
        ),
        "attn.c_proj": _Stored(
            ("attn.W_O",), (d, d), lambda w: (w.unflatten(0, (heads, -1)),), lambda w: w.flatten(0, 1)
        ),
        "mlp.c_fc": _Stored(("mlp.W_in",), (d, shape.d_mlp), lambda w: (w,), lambda w: w),
        "mlp.c_proj": _Stored(("mlp.W_out",), (shape.d_mlp, d), lambda w: (w,), lambda w: w),
    }


def _gpt_neox(shape: ModelShape) -> dict[str, _Stored]:
    d, heads = shape.d_model, shape.n_heads
    return {
        "attention.query_key_value": _Stored(
            ("attn.W_Q", "attn.W_K", "attn.W_V"),
            (3 * d, d),
            lambda w: w.view(heads, 3, -1, d).transpose(2, 3).unbind(1),
            lambda *parts: torch.stack(parts, 1).transpose(2, 3).flatten(0, 2),
        ),
        "attention.dense": _Stored(
            ("attn.W_O",), (d, d), lambda w: (w.T.unflatten(0, (heads, -1)),), lambda w: w.flatten(0, 1).T
        ),
        "mlp.dense_h_to_4h": _turned("mlp.W_in", shape, False),
        "mlp.dense_4h_to_h": _turned("mlp.W_out", shape, True),
    }
