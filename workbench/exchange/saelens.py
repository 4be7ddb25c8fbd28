"""SAELens: a folder with cfg.json and sae_weights.safetensors."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.core import ArtifactError, register

from .format import Foreign, Format, coders
from .import_config import ImportConfig
from .sites import hook_site
from .source import Source, flag, part, text, whole
from .stored import Tensors
from .weights import CoderWeights, at_least_zero
from .writing import write_tensors, write_text_json

WEIGHTS, SETTINGS = "sae_weights.safetensors", "cfg.json"
_GATES = {
    "standard": "relu",
    "topk": "topk",
    "abstopk": "abs-topk",
    "jumprelu": "jumprelu",
    "gated": "gated",
    "transcoder": "relu",
    "skip_transcoder": "relu",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
}
_NORMS = {
    "none": "none",
    "expected_average_only_in": "none",  # a factor of training, folded into the weights when they are saved
    "layer_norm": "layer-norm",
    "constant_norm_rescale": "constant-norm",
}
_OLD_NAMES = {
    "hook_point": "hook_name",
    "activation_fn_str": "activation_fn",
    "hook_point_head_index": "hook_head_index",
}


@register("format", "saelens")
class SAELens(Format):
    """x -> norm -> x - b_dec (if apply_b_dec_to_input) -> gate(. W_enc + b_enc) W_dec + b_dec -> norm undone.

    Versions before 6 keep everything flat, with other names; b_dec was then always subtracted.
    """

    name, title, writes = "saelens", "SAELens", True
    harmless = "(finetuning_)?scaling_factor"  # refused unless all ones

    def detect(self, source: Source) -> bool:
        return WEIGHTS in source and SETTINGS in source

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        settings = _modern(source.json(SETTINGS), source.label)
        about = {**settings, **part(settings, "metadata")}
        where, tensors = source.label, source.tensors(WEIGHTS)
        architecture = settings.get("architecture")
        gate = _GATES.get(architecture) if isinstance(architecture, str) else None
        if gate is None:
            raise ArtifactError(
                f"{where} has the architecture {str(architecture)[:40]!r}, which no kind here computes",
                hint=f"read: {', '.join(_GATES)}",
            )
        transcodes = "transcoder" in str(architecture)
        d_in, d_sae = whole(settings, "d_in", where), whole(settings, "d_sae", where)
        d_out = whole(settings, "d_out", where, d_in) if transcodes else d_in
        read = hook_site(text(about, "hook_name"), head=_head(about, "hook_head_index"))
        write = (
            hook_site(text(about, "hook_name_out"), head=_head(about, "hook_head_index_out")) if transcodes else read
        )
        found = _tensors(tensors, gate, d_in, d_sae, d_out, "skip" in str(architecture))
        found = replace(
            found, read=read, write=write, model=text(about, "model_name"), **_row_norm(settings, transcodes, where)
        )
        found = replace(found, k=whole(settings, "k", where) if "topk" in gate else None)
        if isinstance(about.get("prepend_bos"), bool):
            found = replace(found, prepend_bos=about["prepend_bos"])
        if flag(settings, "apply_b_dec_to_input", where, default=not transcodes):
            if transcodes:
                raise ArtifactError(f"{where}: apply_b_dec_to_input has no meaning for a transcoder")
            found = found.centred(found.b_dec)
        if flag(settings, "rescale_acts_by_decoder_norm", where):
            found = found.gated_by_decoder_norm()
        return [found]

    def write(self, dictionaries: Sequence[Foreign], folder: Path) -> list[str]:
        members = coders(dictionaries, self)
        for weights in members:
            place = folder if len(members) == 1 else folder / (weights.read.lens_name if weights.read else "sae")
            self._write_one(weights, place)
        return []

    def _write_one(self, weights: CoderWeights, folder: Path) -> None:
        transcodes = weights.read != weights.write or weights.W_skip is not None
        architecture = self._architecture(weights, transcodes)
        norms = {ours: theirs for theirs, ours in _NORMS.items() if theirs != "expected_average_only_in"}
        if weights.row_norm != "none" and weights.restore == transcodes:
            raise self.cannot("a row normalisation that is undone for a transcoder, or kept for an autoencoder")
        tensors = {"W_enc": weights.W_enc.T, "W_dec": weights.W_dec, "b_dec": weights.b_dec}
        if weights.gate == "gated":
            tensors |= {"b_gate": weights.b_enc, "b_mag": weights.b_mag, "r_mag": weights.r_mag}
        else:
            tensors["b_enc"] = weights.b_enc
        if "jumprelu" in architecture and weights.threshold is not None:
            tensors["threshold"] = at_least_zero(weights.threshold).expand(weights.d_sae)
        if weights.W_skip is not None:
            tensors["W_skip"] = weights.W_skip
        settings: dict[str, Any] = {
            "architecture": architecture,
            "d_in": weights.W_enc.shape[1],
            "d_sae": weights.d_sae,
            "dtype": str(weights.W_enc.dtype).removeprefix("torch."),
            "device": "cpu",
            "apply_b_dec_to_input": False,
            "normalize_activations": norms[weights.row_norm],
            "reshape_activations": "hook_z" if weights.read and weights.read.kind == "attn_z" else "none",
            "metadata": {
                "sae_lens_version": "6.0.0",
                "sae_lens_training_version": None,
                "model_name": weights.model,
                "hook_name": weights.read.lens_name if weights.read else None,
                "hook_head_index": weights.read.head if weights.read else None,
                "prepend_bos": weights.prepend_bos,
            },
        }
        if transcodes:
            settings["d_out"] = weights.W_dec.shape[1]
            settings["metadata"]["hook_name_out"] = weights.write.lens_name if weights.write else None
        if "topk" in architecture:
            settings |= {"k": weights.k, "rescale_acts_by_decoder_norm": False}
        write_tensors(folder / WEIGHTS, tensors)
        write_text_json(folder / SETTINGS, settings)

    def _architecture(self, weights: CoderWeights, transcodes: bool) -> str:
        gate = {"batchtopk": "jumprelu", "matryoshka": "jumprelu"}.get(weights.gate, weights.gate)
        if gate == "jumprelu" and weights.threshold is not None and bool((weights.threshold < 0).any()):
            raise self.cannot("thresholds below 0: SAELens applies a ReLU as well")
        if transcodes:
            skip = "skip_" if weights.W_skip is not None else ""
            names = {"relu": f"{skip}transcoder", "jumprelu": f"jumprelu_{skip}transcoder"}
        else:
            names = {
                "relu": "standard",
                "jumprelu": "jumprelu",
                "topk": "topk",
                "abs-topk": "abstopk",
                "gated": "gated",
            }
        if gate not in names:
            kind = "transcoder" if transcodes else "autoencoder"
            raise self.cannot(f"a {kind} with a {weights.gate} gate", f"gates that fit: {', '.join(names)}")
        return names[gate]


def _modern(settings: dict[str, Any], where: str) -> dict[str, Any]:
    """Settings in today's names; those before version 6 are flat."""
    version = text(part(settings, "metadata"), "sae_lens_version") or text(settings, "sae_lens_version")
    if version and re.match(r"([6-9]|\d\d)\.", version):
        return settings
    found = {_OLD_NAMES.get(name, name): value for name, value in settings.items()}
    chosen = part(found, "activation_fn_kwargs")
    if found.get("activation_fn") in ("topk", "TopK") and "k" in chosen:
        if chosen.get("signed"):
            raise ArtifactError(f"{where} uses a signed TopK, which no kind here computes")
        found |= {"architecture": "topk", "k": chosen["k"]}
    elif found.get("activation_fn", "relu") not in ("relu", "ReLU", "topk"):
        name = str(found["activation_fn"])[:40]
        raise ArtifactError(f"{where} has the activation function {name!r}, which no kind here computes")
    if isinstance(found.get("normalize_activations"), bool):
        found["normalize_activations"] = "expected_average_only_in" if found["normalize_activations"] else "none"
    if found.get("finetuning_scaling_factor") is True:
        raise ArtifactError(f"{where} has a finetuning scaling factor, which no kind here computes")
    return {"architecture": "standard", "apply_b_dec_to_input": True, **found}


def _row_norm(settings: dict[str, Any], transcodes: bool, where: str) -> dict[str, Any]:
    name = settings.get("normalize_activations")
    norm = _NORMS.get("none" if name is None else str(name))
    if norm is None:
        raise ArtifactError(
            f"{where} normalises its input by {str(name)[:40]!r}, which no kind here computes",
            hint=f"read: {', '.join(_NORMS)}",
        )
    eps = 1e-5 if norm == "layer-norm" else 0.0
    return {"row_norm": norm, "row_eps": eps, "restore": not transcodes}


def _tensors(tensors: Tensors, gate: str, d_in: int, d_sae: int, d_out: int, skip: bool) -> CoderWeights:
    if "finetuning_scaling_factor" in tensors or "scaling_factor" in tensors:
        name = "scaling_factor" if "scaling_factor" in tensors else "finetuning_scaling_factor"
        if not bool((tensors.take(name, None) == 1).all()):
            raise ArtifactError(f"{tensors.where} has a finetuning scaling factor, which no kind here computes")
    gated = gate == "gated"
    return CoderWeights(
        gate=gate,
        W_enc=tensors.take("W_enc", d_in, d_sae).T.contiguous(),
        b_enc=tensors.take("b_gate" if gated else "b_enc", d_sae),
        W_dec=tensors.take("W_dec", d_sae, d_out),
        b_dec=tensors.take("b_dec", d_out),
        W_skip=tensors.take("W_skip", d_out, d_in) if skip else None,
        threshold=at_least_zero(tensors.take("threshold", d_sae)) if gate == "jumprelu" else None,
        r_mag=tensors.take("r_mag", d_sae) if gated else None,
        b_mag=tensors.take("b_mag", d_sae) if gated else None,
    )


def _head(settings: dict[str, Any], key: str) -> int | None:
    value = settings.get(key)
    return value if type(value) is int and value >= 0 else None
