"""Tiny models with random dictionaries: what the tests of this room trace."""

import torch
from models.families import FAMILIES, build_hooked, random_ids

from workbench.circuits import Analysis, Target, analyse
from workbench.dictionaries import CoderConfig, CrossLayerConfig, DictionarySet, dictionaries_for_layers, new_set
from workbench.models import HookedModel

DIFFERENCE = Target.difference(3, 4)
IDS = random_ids(1)
__all__ = ["DIFFERENCE", "FAMILIES", "IDS", "build_hooked", "random_analysis", "random_dictionaries"]


def random_dictionaries(
    model: HookedModel, family: str = "topk-skip-transcoder", seed: int = 0, d_sae: int = 12, k: int = 3
) -> DictionarySet:
    """Random dictionaries for every layer, in the model's dtype; about half of the places in a code are unused."""
    layers = range(model.shape.n_layers)
    if family == "cross-layer-transcoder":
        wanted = [(family, CrossLayerConfig(d_sae=d_sae, k=k))]
        found = new_set(wanted, lambda site: model.shape.d_model, layers=list(layers), name="random")
    else:
        found = dictionaries_for_layers(family, layers, model.shape.d_model, CoderConfig(d_sae=d_sae, k=k), "random")
    draw = torch.Generator().manual_seed(seed)
    for dictionary in found.values():
        dictionary.to(model.dtype)
        for parameter in dictionary.parameters():
            values = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter.data.copy_(0.3 * values)
    return found


def random_analysis(
    family: str,
    dtype: torch.dtype = torch.float64,
    target: Target = DIFFERENCE,
    dictionary: str = "topk-skip-transcoder",
) -> tuple[HookedModel, DictionarySet, Analysis]:
    """A tiny model of a family, random dictionaries, and the prompt analysed."""
    model, _ = build_hooked(family, dtype)
    dictionaries = random_dictionaries(model, dictionary)
    return model, dictionaries, analyse(model, dictionaries, IDS, target)
