"""Through which features of a dictionary the effect of a subnetwork runs.

The effect of a layer's kept weights is what its MLP writes less what it writes without them, on the same input. What
the dictionary writes is a sum over active features; each feature's share is the part of its writing that points along
the effect: sum over rows of a_i (w_i . e), over sum of |e|^2. Shares add up, with the affine part (bypass and bias)
and what the dictionary leaves out, to (mlp_out . e) / |e|^2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Codes, Result, Site, SiteError
from workbench.data import PackedText
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import HookedModel, TokenBatch
from workbench.subnetworks import Subnetwork, trained_positions

from .bigram import spread_over
from .bigram_config import BigramEvalConfig
from .bootstrap import ratio

_TOP = 20


@dataclass
class _Sums:
    """Of one dictionary and one mask: what each feature writes along the effect, and the parts by document."""

    features: Float[Tensor, " f"]
    documents: dict[str, Float[np.ndarray, " documents"]]


def effect_features(
    model: HookedModel,
    subnetwork: Subnetwork,
    dictionaries: DictionarySet,
    text: PackedText,
    config: BigramEvalConfig,
) -> Result:
    """How much of a subnetwork's effect in each MLP is written by the features of its dictionary, and by which.

    Tables: `effects` (one row for each dictionary and mask: the subnetwork's, and a random one of equal count) and
    `features` (the largest shares).

    Raises:
        SiteError: a dictionary writes no single mlp_out.
    """
    text = spread_over(text, config.sequences)
    masks = {"subnetwork": subnetwork, "random mask": subnetwork.random(0)}
    effects: list[dict[str, Any]] = []
    features: list[dict[str, Any]] = []
    for name, dictionary in dictionaries.items():
        site = _written(dictionary)
        if config.feature_layers is not None and (site.layer or 0) >= config.feature_layers:
            continue
        for which, mask in masks.items():
            sums = _sums(model, mask, dictionary, site, text, config)
            effects.append({"dictionary": str(name), "mask": which, **_row(sums, config)})
            if which == "subnetwork":
                whole = float(sums.documents["effect"].sum())
                top = sums.features.abs().topk(min(_TOP, len(sums.features))).indices.tolist()
                features += [
                    {"dictionary": str(name), "feature": n, "share": float(sums.features[n]) / whole} for n in top
                ]
    return Result(
        kind="bigram features",
        scalars={"kept": float(subnetwork.kept)},
        tables={"effects": effects, "features": features},
        params=config.model_dump(mode="json"),
        inputs={"text": text.ref.hash, "model": model.ref.weight_hash},
        notes=(
            "effect: what the MLP writes less what it writes without the kept weights; features and affine (bypass and "
            "bias): parts of what the dictionary writes, written: all that the MLP writes, along the effect, in units "
            "of the effect's square; 95 % intervals resample documents",
        ),
    )


@torch.no_grad()
def _sums(
    model: HookedModel, mask: Subnetwork, dictionary: Dictionary, site: Site, text: PackedText, config: BigramEvalConfig
) -> _Sums:
    own = Subnetwork({name: bits for name, bits in mask.masks.items() if name.startswith(f"blocks.{site.layer}.mlp.")})
    without, sites = own.without(model), [*dictionary.reads, site]
    bos = getattr(model.tokenizer, "bos_id", None)
    features = torch.zeros(dictionary.width, dtype=torch.float64)
    count = len(text.document_ids)
    parts = {name: np.zeros(count) for name in ("effect", "written", "features", "affine")}
    for start in range(0, len(text), config.batch_sequences):
        part = slice(start, start + config.batch_sequences)
        tokens = TokenBatch(text.ids[part].long(), text.lengths[part].long())
        where = trained_positions(tokens, model.policy, bos)
        whole = model.run(tokens, sites=sites, logits=False).activations
        less = model.run(tokens, sites=[site], logits=False, weights=without).activations[site]
        written = whole[site][where].float()
        effect = written - less[where].float()
        inputs = {read: whole[read][where].to(dictionary.dtype) for read in dictionary.reads}
        codes = dictionary.encode(inputs).padded()
        each = _along(dictionary, codes, site, effect)
        made = dictionary.reconstruct_at(codes, inputs, site).float()
        features.index_add_(0, codes.index.flatten().long(), each.flatten().double())
        found = {
            "effect": effect.square().sum(1),
            "written": (written * effect).sum(1),
            "features": each.sum(1),
            "affine": (made * effect).sum(1) - each.sum(1),
        }
        document = text.document[part].long()[where.nonzero()[:, 0]].numpy()
        for name, values in found.items():
            parts[name] += np.bincount(document, values.double().numpy(), minlength=count)
    return _Sums(features, parts)


def _along(dictionary: Dictionary, codes: Codes, site: Site, effect: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
    """What each active feature writes along the effect, row by row."""
    index: Int[Tensor, " m"] = codes.index.flatten().long()
    found = torch.empty(codes.index.shape)
    for rows in torch.arange(len(codes.index)).split(256):
        directions = dictionary.writers(index.view_as(codes.index)[rows].flatten())[site].float()
        directions = directions.view(len(rows), -1, directions.shape[-1])
        found[rows] = codes.value[rows].float() * torch.einsum("nkd,nd->nk", directions, effect[rows])
    return found


def _row(sums: _Sums, config: BigramEvalConfig) -> dict[str, Any]:
    parts = {name: values[sums.documents["effect"] > 0] for name, values in sums.documents.items()}
    row: dict[str, Any] = {}
    for name in ("written", "features", "affine"):
        estimate = ratio(parts[name], parts["effect"], config)
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    sizes = sums.features.abs().sort(descending=True).values
    row["features_for_half"] = int((sizes.cumsum(0) < 0.5 * sizes.sum()).sum()) + 1
    return row


def _written(dictionary: Dictionary) -> Site:
    if len(dictionary.writes) != 1 or dictionary.writes[0].kind != "mlp_out":
        raise SiteError(f"wanted a dictionary that writes one mlp_out, found {', '.join(map(str, dictionary.writes))}")
    return dictionary.writes[0]
