"""From foreign weights to a Dictionary of ours, and back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from workbench.core import ArtifactError, Config, ConfigError, Manifest, Site
from workbench.dictionaries import (
    BatchTopKConfig,
    Coder,
    CoderConfig,
    CrossLayerConfig,
    CrossLayerTranscoder,
    Dictionary,
    GatedConfig,
    ImportedConfig,
    ImportedCrossLayerConfig,
    JumpReLUConfig,
    MatryoshkaConfig,
    ReLUConfig,
    make_dictionary,
)

from .format import Foreign
from .import_config import ImportConfig
from .weights import CoderWeights, CrossLayerWeights

_OURS = ("relu", "topk", "jumprelu", "batchtopk", "matryoshka", "gated")


def build(weights: Foreign, config: ImportConfig, name: str) -> Dictionary:
    """A dictionary with these weights: of a kind that trains here where one computes the same, else `imported-coder`.

    Raises:
        ArtifactError: no site is known, or no kind computes it.
        ConfigError: k larger than the features, or another contradiction.
    """
    return _cross_layer(weights, name) if isinstance(weights, CrossLayerWeights) else _coder(weights, config, name)


def _coder(weights: CoderWeights, config: ImportConfig, name: str) -> Dictionary:
    read, write = _sites(weights, config)
    gate, log_threshold = weights.gate, None
    if gate == "jumprelu" and weights.threshold is not None:
        log_threshold = exact_log(weights.threshold)
    special = weights.row_norm != "none" or gate not in _OURS or (gate == "jumprelu" and log_threshold is None)
    if special:
        family, settings = "imported-coder", _imported_settings(weights)
    else:
        shape = "skip-transcoder" if weights.W_skip is not None else "sae" if read == write else "transcoder"
        family, settings = f"{gate}-{shape}", _settings(weights)
    state = {
        "W_enc": weights.W_enc, "b_enc": weights.b_enc, "W_dec": weights.W_dec, "b_dec": weights.b_dec,
        "W_skip": weights.W_skip, "gate.r_mag": weights.r_mag, "gate.b_mag": weights.b_mag,
    }  # fmt: skip
    if log_threshold is not None and not special:
        state["gate.log_threshold"] = log_threshold
    elif gate in ("batchtopk", "matryoshka", "jumprelu", "relu") and (special or gate != "relu"):
        threshold = torch.zeros(weights.d_sae) if weights.threshold is None else weights.threshold
        state["gate.threshold"] = threshold.expand(weights.d_sae) if special else threshold.reshape(())
    made = make_dictionary(family, settings, {read: weights.W_enc.shape[1]}, {write: weights.W_dec.shape[1]}, name)
    return _filled(made, {key: tensor for key, tensor in state.items() if tensor is not None}, weights.W_enc.dtype)


def _filled(made: Dictionary, state: Mapping[str, Tensor], dtype: torch.dtype) -> Dictionary:
    made.to(dtype)
    shapes = {key: tuple(tensor.shape) for key, tensor in made.state_dict().items()}
    if shapes != {key: tuple(tensor.shape) for key, tensor in state.items()}:
        raise ArtifactError(
            "the weights do not fit together", found=", ".join(f"{k} {tuple(t.shape)}" for k, t in state.items())
        )
    converted = {key: tensor.to(dtype) for key, tensor in state.items()}
    for key, tensor in converted.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ArtifactError(f"the weights leave the range of {str(dtype)[6:]}: {key} holds NaN or infinity")
    made.load_state_dict(converted)
    return made


def _settings(weights: CoderWeights) -> Config:
    """Settings of the kind that trains with this gate; what only training uses keeps its default."""
    d_sae, k = weights.d_sae, weights.k or min(32, weights.d_sae)
    if weights.gate == "matryoshka":
        return MatryoshkaConfig.parse({"d_sae": d_sae, "k": k, "prefixes": [end / d_sae for end in weights.ends]})
    kinds = {"relu": ReLUConfig, "topk": CoderConfig, "jumprelu": JumpReLUConfig, "batchtopk": BatchTopKConfig}
    kind = {**kinds, "gated": GatedConfig}[weights.gate]
    return kind.parse({"d_sae": d_sae, **({"k": k} if "k" in kind.model_fields else {})})


def _imported_settings(weights: CoderWeights) -> Config:
    gate = weights.gate
    if gate in ("gated", "matryoshka") and weights.row_norm != "none":
        raise ArtifactError(f"no kind here normalises rows before a {gate} gate")
    name = "threshold" if gate in ("relu", "jumprelu", "batchtopk") else gate
    return ImportedConfig.parse(
        {
            "d_sae": weights.d_sae, "k": weights.k or min(32, weights.d_sae), "gate": name,
            "skip": weights.W_skip is not None, "row_norm": weights.row_norm, "row_eps": weights.row_eps,
            "restore": weights.restore,
        }
    )  # fmt: skip


def _sites(weights: CoderWeights, config: ImportConfig) -> tuple[Site, Site]:
    """The sites that were asked for, else those of the file."""
    read = Site.parse(config.site) if config.site else weights.read
    if read is None:
        raise ArtifactError(
            "no file says where this dictionary reads",
            hint="name it, e.g. --site resid_post.12 (and --writes mlp_out.12)",
        )
    if config.layer is not None and not config.site and read.layer is not None:
        read = Site(read.kind, config.layer, read.head)
    if config.writes:
        return read, Site.parse(config.writes)
    write = weights.write if weights.write and not config.site else read
    if config.layer is not None and not config.site and write.layer is not None:
        write = Site(write.kind, config.layer, write.head)
    return read, write


def _cross_layer(weights: CrossLayerWeights, name: str) -> Dictionary:
    if len(weights.reads) != weights.n_layers or len(weights.writes) != weights.n_layers:
        raise ArtifactError(
            "no file says where this cross-layer transcoder reads and writes",
            hint="config.yaml wants feature_input_hook and feature_output_hook",
        )
    count, width = weights.n_layers, len(weights.W_enc[0])
    logs = [exact_log(threshold) for threshold in weights.thresholds]
    if weights.gate == "topk":
        gate = "topk"
    else:
        gate = "jumprelu" if logs and all(log is not None for log in logs) else "threshold"
    k = weights.k or min(16, width)
    settings: dict[str, Any] = {"d_sae": width, "k": k, "gate": gate}
    state: dict[str, Tensor] = {}
    for i in range(count):
        state |= {f"W_enc.{i}": weights.W_enc[i], f"b_enc.{i}": weights.b_enc[i], f"b_dec.{i}": weights.b_dec[i]}
        state[f"W_dec.{i}"] = torch.cat([weights.decoders[source, i] for source in range(i + 1)])
        if weights.skips:
            state[f"W_skip.{i}"] = weights.skips[i]
        log = logs[i] if logs else None
        if gate == "jumprelu" and log is not None:
            state[f"gates.{i}.log_threshold"] = log
        elif gate == "threshold":
            state[f"gates.{i}.threshold"] = weights.thresholds[i] if weights.thresholds else torch.zeros(width)
    reads = {site: weights.W_enc[i].shape[1] for i, site in enumerate(weights.reads)}
    writes = {site: len(weights.b_dec[i]) for i, site in enumerate(weights.writes)}
    if weights.skips:
        config = ImportedCrossLayerConfig.parse({**settings, "skip": True})
        made = make_dictionary("imported-cross-layer-transcoder", config, reads, writes, name)
    else:
        made = make_dictionary("cross-layer-transcoder", CrossLayerConfig.parse(settings), reads, writes, name)
    return _filled(made, state, weights.W_enc[0].dtype)


def exact_log(threshold: Tensor) -> Tensor | None:
    """The logarithm whose exponential is exactly this threshold, feature by feature; None where there is none.

    Thresholds that train here are stored as logarithms; where no logarithm gives a threshold back bit for bit, it is
    kept as it is, in a kind that does not train it.
    """
    if not bool((threshold > 0).all()):
        return None
    log = threshold.log()
    for direction in (torch.inf, -torch.inf):
        near = log.clone()
        for _ in range(4):
            near = torch.where(near.exp() == threshold, near, torch.nextafter(near, torch.full_like(near, direction)))
        log = torch.where(near.exp() == threshold, near, log)
    return log if bool((log.exp() == threshold).all()) else None


def weights_of(dictionary: Dictionary, manifest: Manifest | None = None) -> Foreign:
    """What a format can write of a dictionary.

    Raises:
        ConfigError: a kind that is no coder and no cross-layer transcoder.
    """
    model = manifest.model.id if manifest and manifest.model else None
    if isinstance(dictionary, CrossLayerTranscoder):
        return _cross_layer_weights(dictionary, model)
    if not isinstance(dictionary, Coder) or not dictionary.width:
        raise ConfigError(f"a {dictionary.family} has no features that another library could hold")
    config = dictionary.config
    gate = config.gate if isinstance(config, ImportedConfig) else dictionary.gate_name
    tensors = {name: tensor.detach().cpu() for name, tensor in dictionary.state_dict().items()}
    threshold = getattr(dictionary.gate, "threshold", None)
    found = CoderWeights(
        gate="jumprelu" if gate == "threshold" else gate,
        W_enc=tensors["W_enc"],
        b_enc=tensors["b_enc"],
        W_dec=tensors["W_dec"],
        b_dec=tensors["b_dec"],
        W_skip=tensors.get("W_skip"),
        k=getattr(config, "k", None),
        threshold=threshold.detach().cpu() if isinstance(threshold, Tensor) else None,
        r_mag=tensors.get("gate.r_mag"),
        b_mag=tensors.get("gate.b_mag"),
        ends=getattr(dictionary.gate, "ends", ()),
        read=dictionary.reads[0],
        write=dictionary.writes[0],
        model=model,
        prepend_bos=manifest.mask.prepend_bos if manifest and manifest.mask else None,
    )
    if isinstance(config, ImportedConfig):
        found = replace(found, row_norm=config.row_norm, row_eps=config.row_eps, restore=config.restore)
    return found


def _cross_layer_weights(dictionary: CrossLayerTranscoder, model: str | None) -> CrossLayerWeights:
    config, tensors = dictionary.config, {k: t.detach().cpu() for k, t in dictionary.state_dict().items()}
    count, width = len(dictionary.reads), config.d_sae
    thresholds = [getattr(gate, "threshold", None) for gate in dictionary.gates]
    return CrossLayerWeights(
        gate="jumprelu" if config.gate == "threshold" else config.gate,
        W_enc=tuple(tensors[f"W_enc.{i}"] for i in range(count)),
        b_enc=tuple(tensors[f"b_enc.{i}"] for i in range(count)),
        decoders={
            (source, target): tensors[f"W_dec.{target}"][source * width : (source + 1) * width]
            for target in range(count)
            for source in range(target + 1)
        },
        b_dec=tuple(tensors[f"b_dec.{i}"] for i in range(count)),
        thresholds=tuple(t.detach().cpu() for t in thresholds if isinstance(t, Tensor)),
        skips=tuple(tensors[f"W_skip.{i}"] for i in range(count) if f"W_skip.{i}" in tensors),
        k=config.k,
        reads=dictionary.reads,
        writes=dictionary.writes,
        model=model,
    )
