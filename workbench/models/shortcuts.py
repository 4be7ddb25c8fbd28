"""Shortcuts past what the bridge computes only so that it could be hooked.

Attention: the bridge computes it step by step, so that scores and patterns can be hooked. When no site or edit
needs them, Hugging Face's own attention (scaled_dot_product_attention) runs over the same hooked projections; it
never holds a [b h t t] tensor. Norms: the bridge computes scale and normalised values beside the norm itself; that
is left out while they have no hooks. Both give the numbers that Hugging Face gives.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from .shape import ModelShape

# Families whose attention is exactly: project, (norm,) rotate, scaled dot product, project.
_FUSED = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma3_text"})
_NORMS = ("ln1", "ln1_post", "ln2", "ln2_post")


class Shortcuts:
    """Replaces `forward` of the bridge's attention and norm components by one that chooses per run."""

    def __init__(self, bridge: Any, shape: ModelShape) -> None:
        self.can_fuse = shape.family in _FUSED
        self.fusing = False
        if self.can_fuse:
            bridge.original_model.config._attn_implementation = "sdpa"
        for block in bridge.blocks:
            parts = dict(block.named_children())
            if self.can_fuse:
                block.attn.original_component.config._attn_implementation = "sdpa"
                _replace_forward(block.attn, self._attention(block.attn, block.attn.forward))
            for norm in (parts[name] for name in _NORMS if name in parts):
                if norm.use_native_layernorm_autograd:
                    _replace_forward(norm, _norm(norm, norm.forward))
            _keep_signature(block)

    @contextmanager
    def fused(self, wanted: bool) -> Iterator[None]:
        """Inside, attention is fused if that is wanted and possible."""
        before, self.fusing = self.fusing, wanted and self.can_fuse
        try:
            yield
        finally:
            self.fusing = before

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
        return norm.hook_out(norm.original_component(x).to(x.dtype))

    return forward


def _replace_forward(component: Any, forward: Callable[..., Any]) -> None:
    # A plain assignment would be passed on to the wrapped module.
    object.__setattr__(component, "forward", forward)


def _keep_signature(block: Any) -> None:
    """Spare every block the inspection of its signature at every call, where the answer is to pass everything on."""
    parameters = inspect.signature(block.original_component.forward).parameters.values()
    if any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        object.__setattr__(block, "_filter_kwargs_for_forward", lambda kwargs, positional=0: kwargs)
