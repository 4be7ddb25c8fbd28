"""circuit-tracer: sets of transcoders, layer_{i}.safetensors beside config.yaml."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from workbench.core import ArtifactError, Site, register, write_bytes

from .format import Foreign, Format, coders
from .import_config import ImportConfig
from .sites import hook_site
from .source import Source, text, whole
from .stored import Tensors
from .weights import CoderWeights
from .writing import write_tensors

SETTINGS = "config.yaml"
OURS = "workbench"
_LAYER = re.compile(r"layer_(\d{1,3})\.safetensors")
_TOPK_NOTE = (
    "circuit-tracer's TopK applies no ReLU: where fewer than k pre-activations are positive, it also writes negative "
    "ones; a re-import here keeps the ReLU"
)


@register("format", "circuit-tracer")
class CircuitTracer(Format):
    """y = act(x W_enc^T + b_enc) W_dec + b_dec + x W_skip^T; W_enc is [features, d_model] already.

    A threshold makes it JumpReLU, `activation: topk` with k in config.yaml makes it TopK, else it is ReLU; neither of
    the first two applies a ReLU, so that negative values exist. Position 0 has no features there.
    """

    name, title, writes = "circuit-tracer", "circuit-tracer transcoder sets", True
    harmless = "k"

    def detect(self, source: Source) -> bool:
        return any(_LAYER.fullmatch(name) for name in source.files)

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        settings = source.yaml(SETTINGS) if source.has(SETTINGS) else {}
        kind = settings.get("model_kind", "transcoder_set")
        if kind != "transcoder_set":
            raise ArtifactError(f"{source.label} wants transcoders of single layers", found=f"found {str(kind)[:40]}")
        found: list[Foreign] = []
        for name in source.files:
            if match := _LAYER.fullmatch(name):
                found.append(self._read_one(source.tensors(name), int(match[1]), settings))
        return found

    def _read_one(self, tensors: Tensors, layer: int, settings: dict[str, Any]) -> CoderWeights:
        where = tensors.where
        W_enc = tensors.take("W_enc", None, None)
        d_sae, d_in = W_enc.shape
        d_out = tensors.take("W_dec", d_sae, None).shape[1]
        threshold = "activation_function.threshold"
        topk = settings.get("activation") == "topk" or "k" in tensors
        weights = CoderWeights(
            gate="relu",
            W_enc=W_enc,
            b_enc=tensors.take("b_enc", d_sae),
            W_dec=tensors.take("W_dec", d_sae, None),
            b_dec=tensors.take("b_dec", d_out),
            W_skip=tensors.take("W_skip", d_out, d_in) if "W_skip" in tensors else None,
            read=hook_site(text(settings, "feature_input_hook"), layer),
            write=hook_site(text(settings, "feature_output_hook"), layer),
            model=text(settings, "model_name"),
            skip_first=1,
        )
        if settings.get("activation") not in (None, "relu", "topk", "jump_relu"):
            raise ArtifactError(f"{where}: the activation {str(settings['activation'])[:40]!r} is not known")
        if threshold in tensors:
            return replace(weights, gate="jumprelu", threshold=tensors.take(threshold, d_sae))
        if topk:
            given = settings if "k" in settings else {"k": int(tensors.number("k", whole=True))}
            ours = settings.get(OURS)
            gate = "topk" if isinstance(ours, dict) and ours.get("relu") is True else "signed-topk"
            return replace(weights, gate=gate, k=whole(given, "k", where))
        return weights

    def write(self, dictionaries: Sequence[Foreign], folder: Path) -> list[str]:
        members = sorted(coders(dictionaries, self), key=_layer)
        self._check(members)
        first = members[0]
        settings: dict[str, Any] = {
            "model_name": first.model,
            "model_kind": "transcoder_set",
            "feature_input_hook": open_hook(first.read),
            "feature_output_hook": open_hook(first.write),
            "scan": None,
        }
        topk = first.gate in ("topk", "signed-topk")
        if topk:
            settings |= {"activation": "topk", "k": first.k}
        if first.gate == "topk":
            settings[OURS] = {"relu": True}
        for layer, weights in enumerate(members):
            tensors = {"W_enc": weights.W_enc, "W_dec": weights.W_dec, "b_enc": weights.b_enc, "b_dec": weights.b_dec}
            tensors |= {"W_skip": weights.W_skip} if weights.W_skip is not None else {}
            if weights.threshold is not None:
                tensors["activation_function.threshold"] = weights.threshold.expand(weights.d_sae)
            write_tensors(folder / f"layer_{layer}.safetensors", tensors)
        write_bytes(folder / SETTINGS, yaml.safe_dump(settings, sort_keys=False).encode())
        return [_TOPK_NOTE] if first.gate == "topk" else []

    def _check(self, members: list[CoderWeights]) -> None:
        gates = {("jumprelu" if weights.threshold is not None else weights.gate, weights.k) for weights in members}
        if len(gates) != 1 or any(weights.row_norm != "none" for weights in members):
            raise self.cannot("dictionaries with different gates, or with normalised rows")
        if next(iter(gates))[0] not in ("relu", "topk", "signed-topk", "jumprelu"):
            raise self.cannot(f"a {members[0].gate} gate", "it holds relu, topk, jumprelu and batchtopk")
        if any(weights.W_dec.shape[1] != weights.W_enc.shape[1] for weights in members):
            raise self.cannot("an output of another size than the input")
        layers = [weights.read.layer if weights.read else None for weights in members]
        hooks = {(open_hook(weights.read), open_hook(weights.write)) for weights in members}
        if layers != list(range(len(members))) or len(hooks) != 1:
            raise self.cannot(
                f"dictionaries at {', '.join(str(weights.read) for weights in members[:6])}",
                "it wants one for every layer from 0 on, all at the same kind of site",
            )
        if len({weights.d_sae for weights in members}) != 1:
            raise self.cannot("layers with different numbers of features")


def _layer(weights: CoderWeights) -> int:
    return -1 if weights.read is None or weights.read.layer is None else weights.read.layer


def open_hook(site: Site | None) -> str | None:
    """The hook name without its layer; the MLP's input by the name that circuit-tracer's own sets use."""
    if site is None:
        return None
    return "mlp.hook_in" if site.kind == "mlp_in" else site.lens_name.split(".", 2)[-1]
