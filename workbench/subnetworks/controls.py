"""Models that a subnetwork is compared with: a random body, trained embeddings or not, and embeddings alone."""

import torch
from torch import Tensor

from workbench.core import generator
from workbench.models import HookedModel

from .subnetwork import Subnetwork

_EMBEDDINGS = ("embed.W_E", "pos_embed.W_pos", "unembed.W_U")


def random_weights(model: HookedModel, seed: int, embeddings: bool = False) -> dict[str, Tensor]:
    """Attention and MLP matrices drawn anew, each Gaussian with its own mean square; for `run(weights=)` and masks.

    Args:
        embeddings: draw the embeddings anew, too. Tied ones are drawn as one.
    """
    params, found = model.params(), {}
    names = (*model.matrices(), *(name for name in _EMBEDDINGS if embeddings and name in params))
    for name in names:
        weight = params[name]
        draw = torch.randn(weight.shape, generator=generator(seed, "random weights", name))
        found[name] = (draw * weight.float().square().mean().sqrt().cpu()).to(weight)
    if embeddings and params["embed.W_E"].data_ptr() == params["unembed.W_U"].data_ptr():
        found["unembed.W_U"] = found["embed.W_E"].T
    return found


def embeddings_only(model: HookedModel) -> Subnetwork:
    """No entry of any matrix stays: the token goes from the embedding to the unembedding (biases stay)."""
    params = model.params()
    return Subnetwork({name: torch.zeros_like(params[name], dtype=torch.bool) for name in model.matrices()})
