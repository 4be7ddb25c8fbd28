"""Shortcuts past what the bridge computes only so that it could be hooked.

Attention: the bridge computes it step by step, so that scores and patterns can be hooked. When no site or edit
needs them, Hugging Face's own attention (scaled_dot_product_attention) runs over the same hooked projections; it
never holds a [b h t t] tensor. Norms: the bridge computes scale and normalised values beside the norm itself; that
is left out while they have no hooks, and RMS norms without gradient take fewer passes. MLPs: see shortcut_mlp. All
give the numbers that Hugging Face gives.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .shape import ModelShape
from .shortcut_mlp import MlpShortcut

# Families whose attention is exactly: project, (norm,) rotate, scaled dot product, project.
_FUSED = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma3_text"})
_NORMS = ("ln1", "ln1_post", "ln2", "ln2_post")


class Shortcuts:
    """Replaces `forward` of the bridge's attention, norm and MLP components by one that chooses per run."""

    def __init__(self, bridge: Any, shape: ModelShape) -> None:
        self.can_fuse = shape.family in _FUSED
        self.fusing = False
        self._mlps: dict[int, MlpShortcut] = {}
        if self.can_fuse:
            bridge.original_model.config._attn_implementation = "sdpa"
        for layer, block in enumerate(bridge.blocks):
            parts = dict(block.named_children())
            if self.can_fuse:
                block.attn.original_component.config._attn_implementation = "sdpa"
                _replace_forward(block.attn, self._attention(block.attn, block.attn.forward))
            for norm in (parts[name] for name in _NORMS if name in parts):
                if norm.use_native_layernorm_autograd:
                    _replace_forward(norm, _norm(norm, norm.forward))
            if "mlp" in parts and MlpShortcut.fits(block.mlp, shape.act_fn):
                self._mlps[layer] = MlpShortcut(block.mlp, block.mlp.forward, shape.act_fn)
                _replace_forward(block.mlp, self._mlps[layer])
            _keep_signature(block)

    @contextmanager
    def fused(self, wanted: bool) -> Iterator[None]:
        """Inside, attention is fused if that is wanted and possible."""
        before, self.fusing = self.fusing, wanted and self.can_fuse
        try:
            yield
        finally:
            self.fusing = before

    @contextmanager
    def watched(self, watchers: Mapping[int, Callable[[Tensor], None]]) -> Iterator[None]:
        """Inside, each function sees the hidden layer of its MLP wherever the short way is taken."""
        own = {layer: watch for layer, watch in watchers.items() if layer in self._mlps}
        try:
            for layer, watch in own.items():
                self._mlps[layer].watch = watch
            yield
        finally:
            for layer in own:
                self._mlps[layer].watch = None

    def _attention(self, attention: Any, stepwise: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
            if not self.fusing:
                return stepwise(*args, **kwargs)
            hidden = kwargs.pop("hidden_states") if "hidden_states" in kwargs else args[0]
            out, pattern = attention.original_component(attention.hook_in(hidden), *args[1:], **kwargs)
            return attention.hook_out(out), pattern

        return forward


def _norm(norm: Any, observed: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def forward(hidden_states: Tensor, **kwargs: Any) -> Tensor:
        if norm.hook_scale.has_hooks() or norm.hook_normalized.has_hooks():
            return observed(hidden_states, **kwargs)
        x = norm.hook_in(hidden_states)
        own = norm.original_component
        y = _rms(x, own.weight, own.variance_epsilon) if _is_plain_rms(norm, x) else own(x).to(x.dtype)
        return norm.hook_out(y)

    return forward


def _is_plain_rms(norm: Any, x: Tensor) -> bool:
    """A norm as Llama and its like compute it, in their order of roundings, with no gradient asked for."""
    own = norm.original_component
    if not hasattr(own, "variance_epsilon") or norm.uses_weight_offset or not norm.uses_rms_norm:
        return False
    if x.dtype not in (torch.float32, torch.bfloat16) or own.weight.dtype != x.dtype:
        return False
    return not (torch.is_grad_enabled() and (x.requires_grad or own.weight.requires_grad))


def _rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    scale = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    scaled = wide * scale if wide is x else wide.mul_(scale).to(x.dtype)
    return scaled.mul_(weight)


def _replace_forward(component: Any, forward: Callable[..., Any]) -> None:
    # A plain assignment would be passed on to the wrapped module.
    object.__setattr__(component, "forward", forward)


def _keep_signature(block: Any) -> None:
    """Spare every block the inspection of its signature at every call, where the answer is to pass everything on."""
    parameters = inspect.signature(block.original_component.forward).parameters.values()
    if any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        object.__setattr__(block, "_filter_kwargs_for_forward", lambda kwargs, positional=0: kwargs)
