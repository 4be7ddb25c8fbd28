"""A Hugging Face model in memory -> HookedModel."""

from typing import Any

from workbench.core import MaskPolicy, ModelError, ModelRef

from .hooked import HookedModel


def wrap(
    model: Any,
    tokenizer: Any = None,
    ref: ModelRef | None = None,
    policy: MaskPolicy | None = None,
    packed: bool = True,
) -> HookedModel:
    """Hook a Hugging Face causal language model; its modules are wrapped in place.

    `packed` lets it run on packed weights where that is faster (`HookedModel.pack`).

    Raises:
        ModelError: the architecture is not supported.
    """
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    architecture = type(model).__name__
    if model.config.is_encoder_decoder or not model.can_generate():
        raise ModelError(f"cannot hook a {architecture}", "it is no decoder-only language model")
    try:
        bridge = build_bridge_from_module(model.eval(), architecture, hf_config=model.config)
    except (ValueError, NotImplementedError, KeyError) as error:
        raise ModelError(f"cannot hook a {architecture}", str(error), "use a decoder-only language model") from None
    ref = ref or ModelRef(id=architecture, weight_hash="")
    return HookedModel(bridge, tokenizer, ref, policy or MaskPolicy(), packed)
