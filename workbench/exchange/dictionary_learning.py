"""saprmarks/dictionary_learning: ae.pt, a pickled state dict, beside config.json; seven classes by their keys."""

from dataclasses import replace
from typing import Any

import torch

from workbench.core import ArtifactError, Site, register

from .format import Foreign, Format
from .import_config import ImportConfig
from .source import Source, flag, part, text
from .stored import Tensors
from .weights import CoderWeights, at_least_zero

WEIGHTS, SETTINGS = "ae.pt", "config.json"


@register("format", "dictionary-learning")
class DictionaryLearning(Format):
    """Encoders and decoders are linear layers (stored [out, in]); the matrices of the newer classes are not.

    All but AutoEncoderNew and JumpReLU subtract the decoder's bias first. TopK takes the k largest after a ReLU;
    BatchTopK and Matryoshka take what exceeds their threshold (one of -1 was never set: a ReLU).
    """

    name, title = "dictionary-learning", "dictionary_learning"
    harmless = "k|threshold"

    def detect(self, source: Source) -> bool:
        return WEIGHTS in source

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        settings = source.json(SETTINGS) if source.has(SETTINGS) else {}
        trainer = part(settings, "trainer")
        tensors = source.tensors(WEIGHTS)
        found = _linear(tensors, trainer) if "encoder.weight" in tensors else _matrices(tensors, trainer)
        read, write = _sites(trainer, part(settings, "buffer"))
        return [replace(found, read=read, write=write, model=text(trainer, "lm_name"))]


def _linear(tensors: Tensors, trainer: dict[str, Any]) -> CoderWeights:
    W_enc = tensors.take("encoder.weight", None, None)
    d_sae, d_in = W_enc.shape
    W_dec = tensors.take("decoder.weight", d_in, d_sae).T.contiguous()
    if "gate_bias" in tensors:
        bias = tensors.take("decoder_bias", d_in)
        gate, b_mag = tensors.take("gate_bias", d_sae), tensors.take("mag_bias", d_sae)
        r_mag = tensors.take("r_mag", d_sae)
        return CoderWeights("gated", W_enc, gate, W_dec, bias, r_mag=r_mag, b_mag=b_mag).centred(bias)
    b_enc = tensors.take("encoder.bias", d_sae)
    if "decoder.bias" in tensors:
        return CoderWeights("relu", W_enc, b_enc, W_dec, tensors.take("decoder.bias", d_in))
    if "bias" in tensors:
        bias = tensors.take("bias", d_in)
        return CoderWeights("relu", W_enc, b_enc, W_dec, bias).centred(bias)
    bias = tensors.take("b_dec", d_in)
    k = _k(tensors, trainer, d_sae)
    plain = CoderWeights("topk", W_enc, b_enc, W_dec, bias, k=k).centred(bias)
    if "Batch" not in str(trainer.get("dict_class", trainer.get("trainer_class", ""))):
        return plain
    return replace(plain, gate="batchtopk", threshold=_threshold(tensors))


def _matrices(tensors: Tensors, trainer: dict[str, Any]) -> CoderWeights:
    where = tensors.where
    W_enc = tensors.take("W_enc", None, None).T.contiguous()
    d_sae, d_in = W_enc.shape
    bias, b_enc = tensors.take("b_dec", d_in), tensors.take("b_enc", d_sae)
    found = CoderWeights("jumprelu", W_enc, b_enc, tensors.take("W_dec", d_sae, d_in), bias)
    if "group_sizes" not in tensors:
        found = replace(found, threshold=at_least_zero(tensors.take("threshold", d_sae)))
        return found.centred(bias) if flag(trainer, "apply_b_dec_to_input", where) else found
    groups = tensors["group_sizes"]
    if groups.dtype.is_floating_point or len(groups.shape) != 1:
        raise ArtifactError(f"{where}: group_sizes wants whole numbers")
    sizes = groups.load().tolist()
    if not sizes or min(sizes) < 1 or sum(sizes) != d_sae:
        raise ArtifactError(f"{where}: group_sizes wants numbers that add up to {d_sae}", found=str(sizes[:9]))
    ends = tuple(int(end) for end in torch.tensor(sizes).cumsum(0)[:-1])
    k, threshold = _k(tensors, trainer, d_sae), _threshold(tensors)
    return replace(found, gate="matryoshka", ends=ends, k=k, threshold=threshold).centred(bias)


def _k(tensors: Tensors, trainer: dict[str, Any], d_sae: int) -> int:
    value = tensors.number("k", whole=True) if "k" in tensors else trainer.get("k")
    if not isinstance(value, int | float) or value != int(value) or not 1 <= value <= d_sae:
        raise ArtifactError(f"{tensors.where} wants a k from 1 to {d_sae}", found=f"found {str(value)[:40]}")
    return int(value)


def _threshold(tensors: Tensors) -> torch.Tensor:
    return torch.tensor(max(tensors.number("threshold"), 0.0)) if "threshold" in tensors else torch.tensor(0.0)


def _sites(trainer: dict[str, Any], buffer: dict[str, Any]) -> tuple[Site | None, Site | None]:
    layer, name = trainer.get("layer"), text(trainer, "submodule_name") or ""
    if type(layer) is not int or layer < 0:
        return None, None
    kind = next((kind for word, kind in (("mlp", "mlp_out"), ("attention", "attn_out"), ("attn", "attn_out"))
                 if word in name.lower()), "resid_post")  # fmt: skip
    site = Site(
        {"mlp_out": "mlp_in", "resid_post": "resid_pre"}.get(kind, kind) if buffer.get("io") == "in" else kind, layer
    )
    return site, site
