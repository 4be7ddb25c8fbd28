"""Write weights into a hooked model, and read them out under the names of Hugging Face."""

from collections.abc import Mapping

import torch
from torch import Tensor

from workbench.core import ModelError, ModelRef

from .hooked import HookedModel

_WRAPPED = "._original_component"


@torch.no_grad()
def assign(model: HookedModel, weights: Mapping[str, Tensor], ref: ModelRef | None = None) -> HookedModel:
    """Overwrite the weights named (canonical names, as `params`), for good; returns the same model.

    Args:
        ref: what the model is from now on, for manifests.

    Raises:
        ModelError: the model has no such parameter. ShapeError: a weight has another shape.
    """
    live = dict(model._model.named_parameters(remove_duplicate=False))
    for path, tensor in model._canonical.overrides(weights).items():
        live[path].copy_(tensor)
    if ref is not None:
        model.ref = ref
    return model


def hugging_face_state(model: HookedModel, weights: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Weights (the model's own unless given) under Hugging Face's names, for families that split no matrix.

    Raises:
        ModelError: queries, keys and values are one matrix in this family.
    """
    found = {
        path.replace(_WRAPPED, ""): tensor.detach().contiguous()
        for path, tensor in model._canonical.overrides(model.params() if weights is None else weights).items()
    }
    if model.shape.family in ("gpt2", "gpt_neox"):
        raise ModelError(f"cannot name the weights of a {model.shape.family}", "its queries, keys and values are one")
    return found
