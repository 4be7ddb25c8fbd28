"""Checkpoints of codebook-features (Tamkin, Taufeeque, Goodman 2023): the codebooks in them, without running a pickle.

A folder of Hugging Face's layout with model_type `codebook`: config.json, and the weights of the wrapped model with
`codebook_layer` in the names of the books. Grouped books hold one layer for each group, each with a LayerNorm.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from workbench.core import ArtifactError, ConfigError, Site
from workbench.dictionaries import Codebook, CodebookConfig, DictionarySet

from .source import Source, whole
from .stored import Tensors

_BOOK = re.compile(
    r"(?:model\.)?(?P<path>[\w.]*\b(?:layers|h|blocks)\.(?P<layer>\d+)(?:\.(?P<inside>[\w.]+?))?)\.codebook_layer"
    r"\.codebook(?:\.(?P<group>\d+)\.codebook)?\.weight"
)
_KINDS = {"mlp": "mlp_out", "attn_preproj": "attn_z", "attn": "attn_out", "transformer_block": "resid_post"}
"""Where the reference puts a book -> the kind of Site; others (mlp_mid, qkv, attn_plus_mlp) are refused."""
_SIMILARITIES = {"inner_product": "dot", "euclidean": "euclidean"}
_OBJECTIVES = {
    "base": "base",
    "aeloss": "autoencoding",
    "vqvae": "vqvae",
    "fullaeloss": "autoencoding-commitment",
}
_FILES = ("model.safetensors", "pytorch_model.bin")


def read_codebook_features(source: Source, name: str = "codebooks") -> DictionarySet:
    """The codebooks of a released checkpoint, one for each Site, as they rank and average there.

    The fine-tuned model beside them is not read: load it as any model of Hugging Face.

    Raises:
        ArtifactError: no such checkpoint, damaged, or books at places that are no Site.
    """
    config = source.json("config.json")
    if config.get("model_type") != "codebook":
        raise ArtifactError(
            f"{source.label} is no checkpoint of codebook-features", found=str(config.get("model_type"))
        )
    file = next((name for name in _FILES if source.has(name)), None)
    if file is None:
        raise ArtifactError(f"{source.label} wants weights", found=source.summary(), hint=f"one of {', '.join(_FILES)}")
    tensors, books = source.tensors(file), {}
    for (layer, place), names in _places(tensors, config, source.label).items():
        site = Site(_KINDS[place], layer)
        books[str(site)] = _book(tensors, names, site, _settings(config, place, source.label), f"{name}/{site}")
    if not books:
        raise ArtifactError(f"{source.label} holds no codebook", found=f"{len(tensors)} tensors")
    return DictionarySet(dict(sorted(books.items(), key=lambda item: item[1].site)), name)


def _places(tensors: Tensors, config: Mapping[str, Any], where: str) -> dict[tuple[int, str], dict[int | None, str]]:
    """(layer, place) -> group (None: not grouped) -> the name of its codes."""
    found: dict[tuple[int, str], dict[int | None, str]] = {}
    for name in tensors:
        if match := _BOOK.fullmatch(name):
            wrapped = any(other.startswith(f"model.{match['path']}.module_layer.") for other in tensors)
            wrapped = wrapped or any(other.startswith(f"{match['path']}.module_layer.") for other in tensors)
            place = _place(match["inside"], wrapped)
            if place not in _KINDS or place not in _listed(config.get("codebook_at")):
                raise ArtifactError(f"{where} has codes at a place that is no site", found=name)
            group = None if match["group"] is None else int(match["group"])
            found.setdefault((int(match["layer"]), place), {})[group] = name
    return found


def _place(inside: str | None, wrapped: bool) -> str:
    if inside is None:
        return "transformer_block" if wrapped else "attn_plus_mlp"
    if inside in ("attention", "attn", "attn.attention"):
        return "attn" if wrapped else "attn_preproj"
    return "mlp" if inside == "mlp" else inside


def _settings(config: Mapping[str, Any], place: str, where: str) -> dict[str, Any]:
    """Settings of the books of one place; lists have one entry for each place."""
    number = _listed(config.get("codebook_at")).index(place)
    ks = _listed(config.get("k_codebook", 1))
    loss = str(config.get("loss", "aeloss")).split("-")
    try:
        found = {
            "similarity": _SIMILARITIES[str(config.get("similarity_metric", "inner_product"))],
            "objective": _OBJECTIVES[loss[0]],
            "k": whole({"k_codebook": ks[min(number, len(ks) - 1)]}, "k_codebook", where),
        }
    except KeyError as error:
        raise ArtifactError(f"{where} asks for something unknown", found=str(error)) from None
    if len(loss) > 1 and re.fullmatch(r"\d*\.?\d+", loss[1]):
        found["commitment"] = float(loss[1])
    return found


def _book(
    tensors: Tensors, names: Mapping[int | None, str], site: Site, settings: Mapping[str, Any], name: str
) -> Codebook:
    order = sorted(names, key=lambda group: -1 if group is None else group)
    if order not in ([None], list(range(len(order)))):
        raise ArtifactError(f"{tensors.where} lacks groups of the codebook at {site}", found=f"groups {order}")
    codes = [tensors.take(names[group], None, None) for group in order]
    if len({tuple(own.shape) for own in codes}) != 1:
        raise ArtifactError(f"{tensors.where}: groups of {site} differ in size")
    count, size = codes[0].shape
    norms = [[_norm(tensors, names[group], part, size) for group in order] for part in ("weight", "bias")]
    d = size * len(order)
    try:
        config = CodebookConfig.parse({**settings, "codes": count, "groups": len(order)})
    except ConfigError as error:
        raise ArtifactError(f"{tensors.where}: settings of {site} contradict its codes", found=str(error)) from None
    made = Codebook(config, {site: d}, {site: d}, name)
    with torch.no_grad():
        made.book.copy_(torch.cat(codes))
        for parameter, parts in zip((made.norm_weight, made.norm_bias), norms, strict=True):
            assert parameter is not None
            parameter.copy_(torch.cat(parts))
    return made


def _norm(tensors: Tensors, codes: str, part: str, size: int) -> Tensor:
    return tensors.take(f"{codes.removesuffix('codebook.weight')}ln.{part}", size)


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
