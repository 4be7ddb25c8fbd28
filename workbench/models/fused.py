"""Attention without its steps: torch's fused kernel where nobody looks at scores or patterns.

The bridge computes rotary attention step by step, so that scores and patterns can be hooked. When no site or
edit needs them, Hugging Face's own attention (scaled_dot_product_attention) runs over the same hooked
projections instead; it is faster and never holds a [b h t t] tensor.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from .shape import ModelShape

# Families whose attention is exactly: project, (norm,) rotate, scaled dot product, project.
_FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3", "gemma3_text"})


class FusedAttention:
    """Replaces the attention bridges' `forward` by one that chooses per run; inert in other families."""

    def __init__(self, bridge: Any, shape: ModelShape) -> None:
        self.available = shape.family in _FAMILIES
        self._active = False
        if not self.available:
            return
        bridge.original_model.config._attn_implementation = "sdpa"
        for block in bridge.blocks:
            block.attn.original_component.config._attn_implementation = "sdpa"
            # A plain assignment would be passed on to the wrapped module.
            object.__setattr__(block.attn, "forward", self._choose(block.attn, block.attn.forward))

    @contextmanager
    def use(self, wanted: bool) -> Iterator[None]:
        """Inside, attention is fused if that is wanted and possible."""
        before, self._active = self._active, wanted and self.available
        try:
            yield
        finally:
            self._active = before

    def _choose(self, attention: Any, stepwise: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
            if not self._active:
                return stepwise(*args, **kwargs)
            hidden = kwargs.pop("hidden_states") if "hidden_states" in kwargs else args[0]
            out, pattern = attention.original_component(attention.hook_in(hidden), *args[1:], **kwargs)
            return attention.hook_out(out), pattern

        return forward
