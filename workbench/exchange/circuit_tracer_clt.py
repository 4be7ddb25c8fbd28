"""circuit-tracer: cross-layer transcoders, W_enc_{i}.safetensors and W_dec_{i}.safetensors beside config.yaml."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml

from workbench.core import ArtifactError, register, write_bytes

from .circuit_tracer import SETTINGS, open_hook
from .format import Foreign, Format
from .import_config import ImportConfig
from .sites import hook_site
from .source import Source, text
from .stored import Tensors
from .weights import CrossLayerWeights
from .writing import write_tensors

_ENCODER = re.compile(r"W_enc_(\d{1,3})\.safetensors")


@register("format", "circuit-tracer-clt")
class CircuitTracerCrossLayer(Format):
    """Encoder i reads layer i; W_dec_i [features, L - i, d_model] is indexed by its source: slice j writes layer i + j.

    A threshold makes it JumpReLU (without a ReLU), else it is ReLU. A skip matrix is used as x W_skip, untransposed,
    other than in sets of single layers.
    """

    name, title, writes = "circuit-tracer-clt", "circuit-tracer cross-layer transcoders", True

    def detect(self, source: Source) -> bool:
        return any(_ENCODER.fullmatch(name) for name in source.files)

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        settings = source.yaml(SETTINGS) if source.has(SETTINGS) else {}
        layers = sorted(int(match[1]) for name in source.files if (match := _ENCODER.fullmatch(name)))
        count = len(layers)
        if layers != list(range(count)):
            raise ArtifactError(
                f"{source.label} wants an encoder for every layer from 0 on", found=f"layers {layers[:9]}"
            )
        encoders = [source.tensors(f"W_enc_{i}.safetensors") for i in layers]
        width = encoders[0].take("W_enc_0", None, None).shape[0]
        W_enc = tuple(file.take(f"W_enc_{i}", width, None) for i, file in enumerate(encoders))
        d_out = encoders[0].take("b_dec_0", None).shape[0]
        decoders = {}
        for i in layers:
            stack = source.tensors(f"W_dec_{i}.safetensors").take(f"W_dec_{i}", width, count - i, d_out)
            decoders |= {(i, i + j): stack[:, j].contiguous() for j in range(count - i)}
        thresholds = tuple(_threshold(file, i, width) for i, file in enumerate(encoders) if f"threshold_{i}" in file)
        if len(thresholds) not in (0, count):
            raise ArtifactError(f"{source.label} has thresholds for some layers only")
        skips = tuple(
            file.take(f"W_skip_{i}", W_enc[i].shape[1], d_out).T.contiguous()
            for i, file in enumerate(encoders)
            if f"W_skip_{i}" in file
        )
        if len(skips) not in (0, count):
            raise ArtifactError(f"{source.label} has skip matrices for some layers only")
        hooks = [text(settings, f"feature_{end}_hook") for end in ("input", "output")]
        reads, writes = ([hook_site(hook, i) for i in layers] for hook in hooks)
        return [
            CrossLayerWeights(
                gate="jumprelu" if thresholds else "relu",
                W_enc=W_enc,
                b_enc=tuple(file.take(f"b_enc_{i}", width) for i, file in enumerate(encoders)),
                decoders=decoders,
                b_dec=tuple(file.take(f"b_dec_{i}", d_out) for i, file in enumerate(encoders)),
                thresholds=thresholds,
                skips=skips,
                reads=tuple(site for site in reads if site),
                writes=tuple(site for site in writes if site),
                model=text(settings, "model_name"),
                skip_first=1,
            )
        ]

    def write(self, dictionaries: Sequence[Foreign], folder: Path) -> list[str]:
        if len(dictionaries) != 1 or not isinstance(dictionaries[0], CrossLayerWeights):
            raise self.cannot("dictionaries of single layers", "use circuit-tracer")
        weights = dictionaries[0]
        if weights.gate not in ("relu", "jumprelu", "batchtopk") or weights.skips:
            raise self.cannot(f"a {weights.gate} gate or a skip connection", "its loader knows relu and jumprelu")
        if [site.layer for site in weights.reads] != list(range(weights.n_layers)):
            raise self.cannot("layers that do not start at 0 or leave one out")
        if any(decoder.shape[1] != weights.W_enc[0].shape[1] for decoder in weights.decoders.values()):
            raise self.cannot("an output of another size than the input")
        for i in range(weights.n_layers):
            tensors = {f"W_enc_{i}": weights.W_enc[i], f"b_enc_{i}": weights.b_enc[i], f"b_dec_{i}": weights.b_dec[i]}
            if weights.thresholds:
                tensors[f"threshold_{i}"] = weights.thresholds[i].expand(len(weights.W_enc[i]))
            write_tensors(folder / f"W_enc_{i}.safetensors", tensors)
            stack = torch.stack([weights.decoders[i, target] for target in range(i, weights.n_layers)], dim=1)
            write_tensors(folder / f"W_dec_{i}.safetensors", {f"W_dec_{i}": stack})
        settings = {
            "model_name": weights.model,
            "model_kind": "cross_layer_transcoder",
            "feature_input_hook": open_hook(weights.reads[0]),
            "feature_output_hook": open_hook(weights.writes[0]),
            "scan": None,
        }
        write_bytes(folder / SETTINGS, yaml.safe_dump(settings, sort_keys=False).encode())
        return []


def _threshold(file: Tensors, layer: int, width: int) -> torch.Tensor:
    name = f"threshold_{layer}"
    return file.take(name, 1, width)[0] if len(file[name].shape) == 2 else file.take(name, width)
