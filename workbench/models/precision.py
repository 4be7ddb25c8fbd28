"""Full float64: RMS norms and softmax are computed in float32 by Hugging Face and the bridge, whatever the dtype."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def keep_double(bridge: Any) -> None:
    """Let a float64 model compute its norms and attention patterns in float64, for checks to the last digits."""
    from transformer_lens.model_bridge.generalized_components.normalization import NormalizationBridge

    for module in bridge.original_model.modules():
        if isinstance(module, NormalizationBridge) and module.uses_rms_norm and module.original_component is not None:
            module.original_component.forward = _rms_norm(module)
    for block in bridge.blocks:
        if hasattr(block.attn, "_masked_softmax"):
            block.attn._masked_softmax = _softmax


def _rms_norm(bridge_norm: Any) -> Callable[[Tensor], Tensor]:
    norm = bridge_norm.original_component
    eps = next(getattr(norm, name) for name in ("eps", "variance_epsilon") if hasattr(norm, name))

    def forward(x: Tensor) -> Tensor:
        weight = 1 + norm.weight if bridge_norm.uses_weight_offset else norm.weight
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight

    return forward


def _softmax(scores: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    return scores.softmax(-1)
