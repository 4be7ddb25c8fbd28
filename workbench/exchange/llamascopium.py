"""OpenMOSS llamascopium and Llama Scope: config.json or hyperparams.json beside sae_weights or checkpoints/final."""

import math
from dataclasses import replace
from typing import Any

import torch

from workbench.core import ArtifactError, Site, register

from .format import Foreign, Format
from .import_config import ImportConfig
from .sites import hook_site
from .source import Source, flag, part, positive, text, whole
from .stored import Tensors
from .weights import CoderWeights, CrossLayerWeights

_FILES = ("sae_weights.safetensors", "checkpoints/pruned.safetensors", "checkpoints/final.safetensors")
_NORM = "dataset_average_activation_norm"
_SETTINGS = ("config.json", "hyperparams.json")


@register("format", "llamascopium")
class Llamascopium(Format):
    """x * sqrt(d) / average norm -> gate(x W_E + b_E) W_D + b_D, and back by the norm of the output.

    With `sparsity_include_decoder_norm` the gate sees pre-activations times the norm of their decoder row. Thresholds
    are stored as logarithms. The decoders of a cross-layer transcoder are indexed by the layer they write to.
    """

    name, title = "llamascopium", "llamascopium and Llama Scope"
    harmless = rf"{_NORM}\..*|activation_function\.log_jumprelu_threshold|log_jumprelu_threshold"

    def detect(self, source: Source) -> bool:
        settings = next((name for name in _SETTINGS if name in source), None)
        return settings is not None and any(name in source for name in _FILES)

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        name = next((name for name in _SETTINGS if name in source), _SETTINGS[0])
        settings = source.json(name)
        tensors = source.tensors(next((file for file in _FILES if file in source), _FILES[0]))
        kind = settings.get("sae_type", "sae")
        if kind == "clt":
            return [_cross_layer(tensors, settings, source.label)]
        if kind not in ("sae", "transcoder"):
            raise ArtifactError(
                f"{source.label} is a {str(kind)[:40]!r}, which no kind here computes", hint="read: sae, clt"
            )
        return [_coder(tensors, settings, source.label)]


def _coder(tensors: Tensors, settings: dict[str, Any], where: str) -> CoderWeights:
    for name in ("use_glu_encoder", "apply_decoder_bias_to_pre_encoder"):
        if flag(settings, name, where):
            raise ArtifactError(f"{where} uses {name}, which no kind here computes")
    d_in = whole(settings, "d_model", where)
    linear = "encoder.weight" in tensors
    if linear:
        W_enc = tensors.take("encoder.weight", None, d_in)
        d_sae = len(W_enc)
        W_dec, b_enc = tensors.take("decoder.weight", None, d_sae).T.contiguous(), tensors.take("encoder.bias", d_sae)
    else:
        W_enc = tensors.take("W_E", d_in, None).T.contiguous()
        d_sae = len(W_enc)
        W_dec, b_enc = tensors.take("W_D", d_sae, None), tensors.take("b_E", d_sae)
    bias = "decoder.bias" if linear else "b_D"
    d_out = W_dec.shape[1]
    with_bias = flag(settings, "use_decoder_bias", where, default=True)
    b_dec = tensors.take(bias, d_out) if with_bias else torch.zeros(d_out, dtype=W_enc.dtype)
    found = CoderWeights("relu", W_enc, b_enc, W_dec, b_dec)
    found = _gate(found, tensors, settings, where)
    if flag(settings, "sparsity_include_decoder_norm", where, default=not linear):
        found = _undone(found, where)
    read, write = (text(settings, f"hook_point_{end}") for end in ("in", "out"))
    source, target = (_factor(tensors, settings, hook, end, d, where)
                      for hook, end, d in ((read, "in", d_in), (write or read, "out", d_out)))  # fmt: skip
    found = found.scaled(source, target)
    return replace(found, read=hook_site(read), write=hook_site(write or read), model=text(settings, "model_name"))


def _gate(weights: CoderWeights, tensors: Tensors, settings: dict[str, Any], where: str) -> CoderWeights:
    name = str(settings.get("act_fn", "relu")).lower()
    d_sae = weights.d_sae
    if name == "jumprelu":
        keys = ("activation_function.log_jumprelu_threshold", "log_jumprelu_threshold")
        key = next((key for key in keys if key in tensors), None)
        if key:
            threshold = tensors.take(key, d_sae).exp()
        else:
            threshold = torch.full(
                (d_sae,), positive(settings, "jump_relu_threshold", where), dtype=weights.W_enc.dtype
            )
        return replace(weights, gate="jumprelu", threshold=threshold)
    if name == "topk":
        return replace(weights, gate="topk", k=whole(settings, "top_k", where))
    if name != "relu":
        raise ArtifactError(
            f"{where} has the activation {name[:40]!r}, whose values depend on the batch or which is not known",
            hint="convert it to jumprelu with llamascopium; read: relu, jumprelu, topk",
        )
    return weights


def _undone(weights: CoderWeights, where: str) -> CoderWeights:
    """A gate that sees pre-activations times decoder norms, whose values are divided by them after."""
    norm = weights.W_dec.double().norm(dim=1)
    if weights.gate == "jumprelu" and weights.threshold is not None:
        if not bool((norm > 0).all()):
            raise ArtifactError(f"{where} has decoder rows of norm 0, whose threshold means nothing")
        return replace(weights, threshold=(weights.threshold.double() / norm).to(weights.W_enc.dtype))
    return weights.gated_by_decoder_norm() if weights.gate == "topk" else weights


def _factor(tensors: Tensors, settings: dict[str, Any], hook: str | None, end: str, d: int, where: str) -> float:
    """What the activations at a hook are multiplied by before they meet the weights."""
    mode = settings.get("norm_activation", "dataset-wise" if _NORM in settings else "inference")
    if mode in ("inference", "none", None):
        return 1.0
    if mode != "dataset-wise":
        raise ArtifactError(f"{where} normalises its input {str(mode)[:40]!r}, which no kind here computes")
    if hook and f"{_NORM}.{hook}" in tensors:
        norm = tensors.number(f"{_NORM}.{hook}")
    else:
        norms = part(settings, _NORM)
        norm = positive(norms, end if end in norms or not hook else hook, f"{where}: {_NORM}")
    if norm <= 0:
        raise ArtifactError(f"{where} wants a norm above 0", found=f"found {norm}")
    return math.sqrt(d) / norm


def _cross_layer(tensors: Tensors, settings: dict[str, Any], where: str) -> CrossLayerWeights:
    d = whole(settings, "d_model", where)
    reads, writes = (settings.get(f"hook_points_{end}") for end in ("in", "out"))
    if not isinstance(reads, list) or not isinstance(writes, list) or not 0 < len(reads) == len(writes) < 1000:
        raise ArtifactError(f"{where} wants one input and one output hook for every layer")
    layers = range(len(reads))
    W_E, b_E = tensors.take("W_E", len(reads), d, None), tensors.take("b_E", len(reads), None)
    width = W_E.shape[2]
    key = "activation_function.log_jumprelu_threshold"
    log_threshold = tensors.take(key, len(reads), width) if key in tensors else None
    include = flag(settings, "sparsity_include_decoder_norm", where, default=True)
    found = [CoderWeights("relu", W_E[i].T.contiguous(), b_E[i], torch.empty(0), torch.empty(0)) for i in layers]
    name = str(settings.get("act_fn", "relu")).lower()
    if name not in ("relu", "jumprelu", "topk") or (include and name != "relu"):
        gate = f"{name[:40]!r} with sparsity_include_decoder_norm" if include else repr(name[:40])
        raise ArtifactError(f"{where} has the activation {gate}, which no cross-layer kind here computes")
    if name == "jumprelu" and log_threshold is None:
        raise ArtifactError(f"{where} wants thresholds for its jumprelu")
    ins = [_factor(tensors, settings, str(hook), "in", d, where) for hook in reads]
    outs = [_factor(tensors, settings, str(hook), "out", d, where) for hook in writes]
    decoders = {}
    for target in layers:
        stack = tensors.take(f"W_D.{target}", target + 1, width, d)
        for source in range(target + 1):
            scale = ins[source] / outs[target]
            decoders[source, target] = (stack[source].double() * scale).to(stack.dtype)
    thresholds = () if log_threshold is None or name != "jumprelu" else tuple(
        (log_threshold[i].exp().double() / ins[i]).to(W_E.dtype) for i in layers
    )  # fmt: skip
    return CrossLayerWeights(
        gate=name,
        W_enc=tuple(weights.W_enc for weights in found),
        b_enc=tuple((b_E[i].double() / ins[i]).to(W_E.dtype) for i in layers),
        decoders=decoders,
        b_dec=tuple(_divided(tensors.take(f"b_D.{i}", d), outs[i]) for i in layers),
        thresholds=thresholds,
        k=whole(settings, "top_k", where) if name == "topk" else None,
        reads=tuple(_site(hook) for hook in reads),
        writes=tuple(_site(hook) for hook in writes),
        model=text(settings, "model_name"),
    )


def _divided(tensor: torch.Tensor, by: float) -> torch.Tensor:
    return (tensor.double() / by).to(tensor.dtype)


def _site(hook: Any) -> Site:
    site = hook_site(hook if isinstance(hook, str) else None)
    if site is None:
        raise ArtifactError("a cross-layer transcoder wants the name of every hook", found=str(hook)[:40])
    return site
