"""Files of every format that is read, built by hand from its description, each with its formula in plain torch.

Input, features and output have different sizes wherever the format allows it, so that no transpose can hide.
"""

import gzip
import json
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

D, F, OUT = 6, 20, 5

Outputs = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """A file, what it must be read as, and what its own library computes from rows at the read sites."""

    name: str
    format: str
    build: Callable[[Path], Path]
    formula: Callable[[dict[str, Tensor]], Outputs]
    reads: tuple[str, ...]
    sizes: tuple[int, ...]
    config: dict[str, Any] = field(default_factory=dict)
    model: str | None = None


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def topk(z: Tensor, k: int) -> Tensor:
    """z where it is among the k largest of its row, else 0."""
    top = z.topk(k, dim=1)
    return torch.zeros_like(z).scatter_(1, top.indices, top.values)


def jump(z: Tensor, threshold: Tensor | float) -> Tensor:
    return z * (z > threshold)


def write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def write_safetensors(path: Path, tensors: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)


def one(site: str, y: Tensor) -> Outputs:
    return {site: y}


CASES: list[Case] = []


def saelens(
    name: str, architecture: str, formula, extra: dict[str, Tensor], settings: dict[str, Any], out: int = D
) -> None:
    """A SAELens folder of version 6."""
    tensors = {"W_enc": draw(0, D, F), "W_dec": draw(2, F, out), "b_dec": draw(3, out)}
    if architecture != "gated":
        tensors["b_enc"] = draw(1, F)
    tensors |= extra
    transcodes = "transcoder" in architecture
    config = {
        "d_in": D,
        "d_sae": F,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "architecture": architecture,
        "metadata": {
            "sae_lens_version": "6.54.12",
            "model_name": "gpt2",
            "hook_name": "blocks.3.ln2.hook_normalized" if transcodes else "blocks.3.hook_resid_post",
            "prepend_bos": True,
        },
        **settings,
    }
    if transcodes:
        config["d_out"] = out
        config["metadata"]["hook_name_out"] = "blocks.3.hook_mlp_out"

    def build(folder: Path) -> Path:
        write_safetensors(folder / "sae" / "sae_weights.safetensors", tensors)
        write_json(folder / "sae" / "cfg.json", config)
        return folder / "sae"

    read, write = ("mlp_in.3", "mlp_out.3") if transcodes else ("resid_post.3", "resid_post.3")
    CASES.append(
        Case(
            f"saelens-{name}",
            "saelens",
            build,
            lambda x: one(write, formula(x[read], tensors)),
            (read,),
            (D,),
            model="gpt2",
        )
    )


def _standard(x: Tensor, t: dict[str, Tensor]) -> Tensor:
    return ((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]).relu() @ t["W_dec"] + t["b_dec"]


def _saelens_topk(x: Tensor, t: dict[str, Tensor]) -> Tensor:
    norm = t["W_dec"].norm(dim=1)
    z = ((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"]) * norm
    return (topk(z, 3).relu() / norm) @ t["W_dec"] + t["b_dec"]


def _saelens_jump(x: Tensor, t: dict[str, Tensor]) -> Tensor:
    z = x @ t["W_enc"] + t["b_enc"]
    return (z.relu() * (z > t["threshold"])) @ t["W_dec"] + t["b_dec"]


def _saelens_gated(x: Tensor, t: dict[str, Tensor]) -> Tensor:
    shared = (x - t["b_dec"]) @ t["W_enc"]
    gate = (shared + t["b_gate"] > 0).float()
    return (gate * (shared * t["r_mag"].exp() + t["b_mag"]).relu()) @ t["W_dec"] + t["b_dec"]


def _saelens_layer_norm(x: Tensor, t: dict[str, Tensor]) -> Tensor:
    mean = x.mean(1, keepdim=True)
    std = (x - mean).std(1, keepdim=True)
    y = (((x - mean) / (std + 1e-5) - t["b_dec"]) @ t["W_enc"] + t["b_enc"]).relu() @ t["W_dec"] + t["b_dec"]
    return y * std + mean


def _saelens_constant_norm(x: Tensor, t: dict[str, Tensor]) -> Tensor:
    factor = D**0.5 / x.norm(dim=1, keepdim=True)
    return (topk((x * factor) @ t["W_enc"] + t["b_enc"], 4).relu() @ t["W_dec"] + t["b_dec"]) / factor


def _saelens_abs(x: Tensor, t: dict[str, Tensor]) -> Tensor:
    z = x @ t["W_enc"] + t["b_enc"]
    kept = torch.zeros_like(z).scatter_(1, z.abs().topk(3, dim=1).indices, 1.0)
    return (z * kept) @ t["W_dec"] + t["b_dec"]


def _transcoder(x: Tensor, t: dict[str, Tensor]) -> Tensor:
    return (x @ t["W_enc"] + t["b_enc"]).relu() @ t["W_dec"] + t["b_dec"]


_MIXED = draw(9, F).abs() * torch.tensor([1.0, 0.0] * 10)
saelens("standard", "standard", _standard, {}, {"apply_b_dec_to_input": True})
saelens("topk", "topk", _saelens_topk, {}, {"k": 3, "rescale_acts_by_decoder_norm": True, "apply_b_dec_to_input": True})
saelens("jumprelu", "jumprelu", _saelens_jump, {"threshold": draw(8, F)}, {})
saelens(
    "gated",
    "gated",
    _saelens_gated,
    {"b_gate": draw(4, F), "b_mag": draw(5, F), "r_mag": draw(6, F) * 0.3},
    {"apply_b_dec_to_input": True},
)
saelens(
    "layer-norm",
    "standard",
    _saelens_layer_norm,
    {},
    {"normalize_activations": "layer_norm", "apply_b_dec_to_input": True},
)
saelens("constant-norm", "topk", _saelens_constant_norm, {}, {"normalize_activations": "constant_norm_rescale", "k": 4})
saelens("abstopk", "abstopk", _saelens_abs, {}, {"k": 3})
saelens("transcoder", "transcoder", _transcoder, {}, {}, OUT)
saelens(
    "skip-transcoder",
    "jumprelu_skip_transcoder",
    lambda x, t: _saelens_jump(x, t) + x @ t["W_skip"].T,
    {"threshold": _MIXED, "W_skip": draw(7, OUT, D)},
    {},
    OUT,
)


def saelens_old(folder: Path) -> Path:
    """Before version 6: flat keys with other names, b_dec always subtracted."""
    config = {
        "d_in": D,
        "d_sae": F,
        "dtype": "float32",
        "device": "cpu",
        "model_name": "gpt2-small",
        "hook_point": "blocks.7.hook_resid_pre",
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 2},
        "normalize_activations": False,
    }
    write_safetensors(folder / "old" / "sae_weights.safetensors", OLD)
    write_json(folder / "old" / "cfg.json", config)
    return folder / "old"


OLD = {"W_enc": draw(0, D, F), "b_enc": draw(1, F), "W_dec": draw(2, F, D), "b_dec": draw(3, D)}
CASES.append(
    Case(
        "saelens-before-6",
        "saelens",
        saelens_old,
        lambda x: one(
            "resid_pre.7",
            topk((x["resid_pre.7"] - OLD["b_dec"]) @ OLD["W_enc"] + OLD["b_enc"], 2).relu() @ OLD["W_dec"]
            + OLD["b_dec"],
        ),
        ("resid_pre.7",),
        (D,),
        model="gpt2-small",
    )
)


def sparsify(name: str, hookpoint: str, read: str, write: str, **settings: Any) -> None:
    t = {"encoder.weight": draw(0, F, D), "encoder.bias": draw(1, F), "W_dec": draw(2, F, D), "b_dec": draw(3, D)}
    config = {
        "activation": "topk",
        "expansion_factor": 32,
        "normalize_decoder": True,
        "num_latents": F,
        "k": 4,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": D,
        **settings,
    }
    if config["skip_connection"]:
        t["W_skip"] = draw(4, D, D)

    def build(folder: Path) -> Path:
        write_safetensors(folder / "run" / hookpoint / "sae.safetensors", t)
        write_json(folder / "run" / hookpoint / "cfg.json", config)
        write_json(folder / "run" / "config.json", {"model": "EleutherAI/pythia-70m"})
        return folder / "run" / hookpoint

    def formula(x: dict[str, Tensor]) -> Outputs:
        rows = x[read]
        centred = rows if config["transcode"] else rows - t["b_dec"]
        z = (centred @ t["encoder.weight"].T + t["encoder.bias"]).relu()
        if config["activation"] == "groupmax":
            groups = z.unflatten(1, (config["k"], -1))
            acts = torch.where(groups == groups.max(2, keepdim=True).values, groups, 0.0).flatten(1)
        else:
            acts = topk(z, config["k"])
        y = acts @ t["W_dec"] + t["b_dec"]
        return one(write, y + rows @ t["W_skip"].T if "W_skip" in t else y)

    CASES.append(Case(f"sparsify-{name}", "sparsify", build, formula, (read,), (D,), model="EleutherAI/pythia-70m"))


sparsify("sae", "layers.10", "resid_post.10", "resid_post.10")
sparsify("transcoder", "layers.2.mlp", "mlp_in.2", "mlp_out.2", transcode=True, skip_connection=True)
sparsify("groupmax", "layers.1.mlp", "mlp_out.1", "mlp_out.1", activation="groupmax", k=5)


def dictionary_learning(name: str, tensors: dict[str, Tensor], formula, trainer: dict[str, Any]) -> None:
    config = {
        "trainer": {
            "activation_dim": D,
            "dict_size": F,
            "layer": 8,
            "lm_name": "EleutherAI/pythia-70m-deduped",
            "submodule_name": "resid_post_layer_8",
            **trainer,
        },
        "buffer": {"d_submodule": D, "io": "out", "ctx_len": 128},
    }

    def build(folder: Path) -> Path:
        place = folder / "trainer_0"
        place.mkdir(parents=True)
        torch.save(OrderedDict(tensors), place / "ae.pt")
        write_json(place / "config.json", config)
        return place

    site = "resid_post.8"
    CASES.append(
        Case(
            f"dictionary-learning-{name}",
            "dictionary-learning",
            build,
            lambda x: one(site, formula(x[site], tensors)),
            (site,),
            (D,),
            model="EleutherAI/pythia-70m-deduped",
        )
    )


def _linear(**others: Tensor) -> dict[str, Tensor]:
    return {"encoder.weight": draw(0, F, D), "decoder.weight": draw(2, D, F), **others}


def _dl_pre(x: Tensor, t: dict[str, Tensor], bias: str) -> Tensor:
    return (x - t[bias]) @ t["encoder.weight"].T


_WHOLE = torch.tensor(3, dtype=torch.int32)
dictionary_learning(
    "ae",
    _linear(bias=draw(3, D), **{"encoder.bias": draw(1, F)}),
    lambda x, t: (_dl_pre(x, t, "bias") + t["encoder.bias"]).relu() @ t["decoder.weight"].T + t["bias"],
    {"dict_class": "AutoEncoder"},
)
dictionary_learning(
    "ae-new",
    _linear(**{"encoder.bias": draw(1, F), "decoder.bias": draw(3, D)}),
    lambda x, t: (x @ t["encoder.weight"].T + t["encoder.bias"]).relu() @ t["decoder.weight"].T + t["decoder.bias"],
    {"dict_class": "AutoEncoderNew"},
)
dictionary_learning(
    "topk",
    _linear(b_dec=draw(3, D), k=_WHOLE, threshold=torch.tensor(0.4), **{"encoder.bias": draw(1, F)}),
    lambda x, t: topk((_dl_pre(x, t, "b_dec") + t["encoder.bias"]).relu(), 3) @ t["decoder.weight"].T + t["b_dec"],
    {"dict_class": "AutoEncoderTopK", "k": 3},
)
dictionary_learning(
    "batchtopk",
    _linear(b_dec=draw(3, D), k=_WHOLE, threshold=torch.tensor(0.7), **{"encoder.bias": draw(1, F)}),
    lambda x, t: jump(_dl_pre(x, t, "b_dec") + t["encoder.bias"], 0.7) @ t["decoder.weight"].T + t["b_dec"],
    {"dict_class": "BatchTopKSAE", "k": 3},
)
dictionary_learning(
    "batchtopk-unset",
    _linear(b_dec=draw(3, D), k=_WHOLE, threshold=torch.tensor(-1.0), **{"encoder.bias": draw(1, F)}),
    lambda x, t: (_dl_pre(x, t, "b_dec") + t["encoder.bias"]).relu() @ t["decoder.weight"].T + t["b_dec"],
    {"dict_class": "BatchTopKSAE", "k": 3},
)
_MATRICES = {"W_enc": draw(0, D, F), "b_enc": draw(1, F), "W_dec": draw(2, F, D), "b_dec": draw(3, D)}
dictionary_learning(
    "matryoshka",
    {**_MATRICES, "k": _WHOLE, "threshold": torch.tensor(0.6), "group_sizes": torch.tensor([3, 5, 12])},
    lambda x, t: jump((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], 0.6) @ t["W_dec"] + t["b_dec"],
    {"dict_class": "MatryoshkaBatchTopKSAE", "k": 3},
)
dictionary_learning(
    "jumprelu",
    {**_MATRICES, "threshold": draw(8, F)},
    lambda x, t: jump(x @ t["W_enc"] + t["b_enc"], t["threshold"]).relu() @ t["W_dec"] + t["b_dec"],
    {"dict_class": "JumpReluAutoEncoder"},
)
dictionary_learning(
    "jumprelu-centred",
    {**_MATRICES, "threshold": draw(8, F).abs() + 0.01},
    lambda x, t: jump((x - t["b_dec"]) @ t["W_enc"] + t["b_enc"], t["threshold"]) @ t["W_dec"] + t["b_dec"],
    {"dict_class": "JumpReluAutoEncoder", "apply_b_dec_to_input": True},
)


def _dl_gated(x: Tensor, t: dict[str, Tensor]) -> Tensor:
    shared = _dl_pre(x, t, "decoder_bias")
    acts = (shared + t["gate_bias"] > 0) * (t["r_mag"].exp() * shared + t["mag_bias"]).relu()
    return acts @ t["decoder.weight"].T + t["decoder_bias"]


dictionary_learning(
    "gated",
    _linear(decoder_bias=draw(3, D), r_mag=draw(4, F) * 0.3, gate_bias=draw(5, F), mag_bias=draw(6, F)),
    _dl_gated,
    {"dict_class": "GatedAutoEncoder"},
)


def circuit_tracer(
    name: str,
    act,
    settings: dict[str, Any],
    skip: bool = False,
    threshold: Tensor | None = None,
    tensor_k: bool = False,
) -> None:
    def tensors(layer: int) -> dict[str, Tensor]:
        t = {
            "W_enc": draw(10 * layer, F, D),
            "W_dec": draw(10 * layer + 1, F, OUT),
            "b_enc": draw(10 * layer + 2, F),
            "b_dec": draw(10 * layer + 3, OUT),
        }
        t |= {"W_skip": draw(10 * layer + 4, OUT, D)} if skip else {}
        t |= {"k": torch.tensor(3)} if tensor_k else {}
        return t if threshold is None else {**t, "activation_function.threshold": threshold}

    def build(folder: Path) -> Path:
        place = folder / "set"
        for layer in (0, 1):
            write_safetensors(place / f"layer_{layer}.safetensors", tensors(layer))
        lines = {
            "model_name": "google/gemma-2-2b",
            "model_kind": "transcoder_set",
            **settings,
            "feature_input_hook": "hook_resid_mid",
            "feature_output_hook": "hook_mlp_out",
        }
        (place / "config.yaml").write_text("".join(f"{key}: {value}\n" for key, value in lines.items()))
        return place

    def formula(x: dict[str, Tensor]) -> Outputs:
        found = {}
        for layer in (0, 1):
            t, rows = tensors(layer), x[f"resid_mid.{layer}"]
            y = act(rows @ t["W_enc"].T + t["b_enc"]) @ t["W_dec"] + t["b_dec"]
            found[f"mlp_out.{layer}"] = y + rows @ t["W_skip"].T if skip else y
        return found

    CASES.append(
        Case(
            f"circuit-tracer-{name}",
            "circuit-tracer",
            build,
            formula,
            ("resid_mid.0", "resid_mid.1"),
            (D, D),
            model="google/gemma-2-2b",
        )
    )


_SIGNED = draw(8, F)
circuit_tracer("relu", torch.relu, {}, skip=True)
circuit_tracer("jumprelu", lambda z: jump(z, _SIGNED), {}, threshold=_SIGNED)
circuit_tracer("topk", lambda z: topk(z, 18), {"activation": "topk", "k": 18})
circuit_tracer("topk-tensor", lambda z: topk(z, 3), {}, tensor_k=True)


def cross_layer(name: str, threshold: bool, skip: bool = False) -> None:
    layers = 3
    W_enc, b_enc = [draw(i, F, D) for i in range(layers)], [draw(10 + i, F) for i in range(layers)]
    b_dec = [draw(20 + i, OUT) for i in range(layers)]
    W_dec = [draw(30 + i, F, layers - i, OUT) for i in range(layers)]
    thresholds = [draw(40 + i, F) * 0.5 for i in range(layers)]
    W_skip = [draw(50 + i, D, OUT) for i in range(layers)]

    def build(folder: Path) -> Path:
        place = folder / "clt"
        for i in range(layers):
            extra = {f"threshold_{i}": thresholds[i]} if threshold else {}
            extra |= {f"W_skip_{i}": W_skip[i]} if skip else {}
            write_safetensors(
                place / f"W_enc_{i}.safetensors",
                {f"W_enc_{i}": W_enc[i], f"b_enc_{i}": b_enc[i], f"b_dec_{i}": b_dec[i], **extra},
            )
            write_safetensors(place / f"W_dec_{i}.safetensors", {f"W_dec_{i}": W_dec[i]})
        (place / "config.yaml").write_text(
            "model_name: meta-llama/Llama-3.2-1B\nmodel_kind: cross_layer_transcoder\n"
            "feature_input_hook: hook_resid_mid\nfeature_output_hook: hook_mlp_out\n"
        )
        return place

    def formula(x: dict[str, Tensor]) -> Outputs:
        found = {f"mlp_out.{i}": b_dec[i].expand(len(x["resid_mid.0"]), OUT).clone() for i in range(layers)}
        for i in range(layers):
            z = x[f"resid_mid.{i}"] @ W_enc[i].T + b_enc[i]
            acts = jump(z, thresholds[i]) if threshold else z.relu()
            for j in range(layers - i):
                found[f"mlp_out.{i + j}"] += acts @ W_dec[i][:, j]
            if skip:
                found[f"mlp_out.{i}"] += x[f"resid_mid.{i}"] @ W_skip[i]
        return found

    CASES.append(
        Case(
            f"circuit-tracer-clt-{name}",
            "circuit-tracer-clt",
            build,
            formula,
            tuple(f"resid_mid.{i}" for i in range(layers)),
            (D,) * layers,
            model="meta-llama/Llama-3.2-1B",
        )
    )


cross_layer("relu", False)
cross_layer("jumprelu", True)
cross_layer("skip", False, skip=True)

_READ, _WRITE = "blocks.5.ln2.hook_normalized", "blocks.5.hook_mlp_out"


def llamascopium(
    name: str,
    tensors: dict[str, Tensor],
    settings: dict[str, Any],
    formula,
    places: tuple[str, str] = ("config.json", "sae_weights.safetensors"),
) -> None:
    config = {
        "sae_type": "sae",
        "d_model": D,
        "expansion_factor": F / D,
        "hook_point_in": _READ,
        "hook_point_out": _WRITE,
        "use_decoder_bias": True,
        "dtype": "torch.float32",
        **settings,
    }

    def build(folder: Path) -> Path:
        place = folder / "scope"
        write_safetensors(place / places[1], tensors)
        write_json(place / places[0], config)
        return place

    CASES.append(
        Case(
            f"llamascopium-{name}",
            "llamascopium",
            build,
            lambda x: one("mlp_out.5", formula(x["mlp_in.5"], tensors)),
            ("mlp_in.5",),
            (D,),
        )
    )


_NORMS = {
    f"dataset_average_activation_norm.{_READ}": torch.tensor(3.7),
    f"dataset_average_activation_norm.{_WRITE}": torch.tensor(0.9),
}
_WED = {"W_E": draw(0, D, F), "b_E": draw(1, F), "W_D": draw(2, F, OUT), "b_D": draw(3, OUT)}
_IN, _BACK = D**0.5 / 3.7, 0.9 / OUT**0.5
_KEY = "activation_function.log_jumprelu_threshold"


def _scoped(act):
    """Their forward: normalise, encode with the decoder norm in the gate, decode, denormalise."""

    def formula(x: Tensor, t: dict[str, Tensor]) -> Tensor:
        norm = t["W_D"].norm(dim=1)
        z = (x * _IN) @ t["W_E"] + t["b_E"]
        return (act(z * norm, t) / norm @ t["W_D"] + t["b_D"]) * _BACK

    return formula


llamascopium(
    "jumprelu",
    {**_WED, **_NORMS, _KEY: draw(8, F) * 0.5},
    {"act_fn": "jumprelu", "norm_activation": "dataset-wise"},
    _scoped(lambda z, t: jump(z, t[_KEY].exp())),
)
llamascopium(
    "topk",
    {**_WED, **_NORMS},
    {"act_fn": "topk", "top_k": 4, "norm_activation": "dataset-wise"},
    _scoped(lambda z, t: topk(z.relu(), 4)),
)
llamascopium(
    "relu-inference",
    _WED,
    {"act_fn": "relu", "norm_activation": "inference"},
    lambda x, t: (x @ t["W_E"] + t["b_E"]).relu() @ t["W_D"] + t["b_D"],
)
_LINEAR = {
    "encoder.weight": draw(0, F, D),
    "encoder.bias": draw(1, F),
    "decoder.weight": draw(2, OUT, F),
    "decoder.bias": draw(3, OUT),
}
llamascopium(
    "llama-scope",
    _LINEAR,
    {
        "act_fn": "jumprelu",
        "jump_relu_threshold": 0.55,
        "norm_activation": "dataset-wise",
        "d_sae": F,
        "dataset_average_activation_norm": {"in": 3.7, "out": 0.9},
    },
    lambda x, t: (
        (jump((x * _IN) @ t["encoder.weight"].T + t["encoder.bias"], 0.55) @ t["decoder.weight"].T + t["decoder.bias"])
        * _BACK
    ),
    ("hyperparams.json", "checkpoints/final.safetensors"),
)


def llamascopium_cross_layer() -> None:
    layers = 3
    W_E, b_E = draw(0, layers, D, F), draw(1, layers, F)
    W_D, b_D = [draw(10 + t, t + 1, F, D) for t in range(layers)], [draw(20 + t, D) for t in range(layers)]
    log = draw(5, layers, F) * 0.5
    ins, outs = [2.0, 3.0, 4.0], [0.5, 0.7, 0.9]
    reads = [f"blocks.{i}.ln2.hook_normalized" for i in range(layers)]
    writes = [f"blocks.{i}.hook_mlp_out" for i in range(layers)]
    tensors = {
        "W_E": W_E,
        "b_E": b_E,
        _KEY: log,
        **{f"W_D.{t}": W_D[t] for t in range(layers)},
        **{f"b_D.{t}": b_D[t] for t in range(layers)},
        **{
            f"dataset_average_activation_norm.{h}": torch.tensor(n)
            for h, n in zip(reads + writes, ins + outs, strict=True)
        },
    }
    config = {
        "sae_type": "clt",
        "d_model": D,
        "act_fn": "jumprelu",
        "norm_activation": "dataset-wise",
        "sparsity_include_decoder_norm": False,
        "hook_points_in": reads,
        "hook_points_out": writes,
    }

    def build(folder: Path) -> Path:
        write_safetensors(folder / "clt" / "sae_weights.safetensors", tensors)
        write_json(folder / "clt" / "config.json", config)
        return folder / "clt"

    def formula(x: dict[str, Tensor]) -> Outputs:
        acts = []
        for i in range(layers):
            z = (x[f"mlp_in.{i}"] * D**0.5 / ins[i]) @ W_E[i] + b_E[i]
            acts.append(jump(z, log[i].exp()))
        return {
            f"mlp_out.{t}": (sum(acts[i] @ W_D[t][i] for i in range(t + 1)) + b_D[t]) * outs[t] / D**0.5
            for t in range(layers)
        }

    CASES.append(
        Case(
            "llamascopium-clt",
            "llamascopium",
            build,
            formula,
            tuple(f"mlp_in.{i}" for i in range(layers)),
            (D,) * layers,
        )
    )


llamascopium_cross_layer()

GEMMA = {
    "W_enc": draw(0, D, F),
    "b_enc": draw(1, F),
    "W_dec": draw(2, F, OUT),
    "b_dec": draw(3, OUT),
    "threshold": draw(8, F).abs(),
}


def gemma_1(folder: Path) -> Path:
    place = folder / "gemma-scope-2b-pt-transcoders" / "layer_12" / "width_16k" / "average_l0_82"
    place.mkdir(parents=True)
    np.savez(place / "params.npz", **{name: tensor.numpy() for name, tensor in GEMMA.items()})
    return place


def gemma_1_sae(folder: Path) -> Path:
    place = folder / "gemma-scope-2b-pt-res" / "layer_7" / "width_16k" / "average_l0_82"
    place.mkdir(parents=True)
    arrays = {name: tensor.numpy() for name, tensor in GEMMA.items()}
    arrays |= {"W_dec": np.asfortranarray(draw(4, F, D).numpy()), "b_dec": draw(5, D).numpy()}
    np.savez_compressed(place / "params.npz", **arrays)
    return place


def _gemma(x: Tensor, W_dec: Tensor, b_dec: Tensor) -> Tensor:
    return jump(x @ GEMMA["W_enc"] + GEMMA["b_enc"], GEMMA["threshold"]) @ W_dec + b_dec


SKIP = draw(6, D, OUT)


def gemma_2(folder: Path) -> Path:
    place = folder / "transcoder_all" / "layer_9_width_16k_l0_small_affine"
    names = {"W_enc": "w_enc", "W_dec": "w_dec"}
    tensors = {names.get(name, name): tensor for name, tensor in GEMMA.items()}
    write_safetensors(place / "params.safetensors", {**tensors, "affine_skip_connection": SKIP})
    return place


CASES += [
    Case(
        "gemma-scope-transcoder",
        "gemma-scope",
        gemma_1,
        lambda x: one("mlp_out.12", _gemma(x["mlp_in.12"], GEMMA["W_dec"], GEMMA["b_dec"])),
        ("mlp_in.12",),
        (D,),
    ),
    Case(
        "gemma-scope-sae",
        "gemma-scope",
        gemma_1_sae,
        lambda x: one("resid_post.7", _gemma(x["resid_post.7"], draw(4, F, D), draw(5, D))),
        ("resid_post.7",),
        (D,),
    ),
    Case(
        "gemma-scope-2-skip",
        "gemma-scope-2",
        gemma_2,
        lambda x: one("mlp_out.9", _gemma(x["mlp_in.9"], GEMMA["W_dec"], GEMMA["b_dec"]) + x["mlp_in.9"] @ SKIP),
        ("mlp_in.9",),
        (D,),
    ),
]


def openai(name: str, act, extra: dict[str, Any], normalise: bool) -> None:
    tensors = {
        "pre_bias": draw(0, D),
        "encoder.weight": draw(1, F, D),
        "latent_bias": draw(2, F),
        "decoder.weight": draw(3, D, F),
        "stats_last_nonzero": torch.zeros(F, dtype=torch.long),
        "latents_activation_frequency": torch.ones(F),
        "latents_mean_square": torch.zeros(F),
    }

    def build(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(OrderedDict({**tensors, **extra}), folder / "layer_6.pt")
        return folder / "layer_6.pt"

    def formula(x: dict[str, Tensor]) -> Outputs:
        rows, mean, std = x["resid_post.6"], torch.zeros(1), torch.ones(1)
        if normalise:
            mean = rows.mean(1, keepdim=True)
            std = (rows - mean).std(1, keepdim=True)
            rows = (rows - mean) / (std + 1e-5)
        latents = act((rows - tensors["pre_bias"]) @ tensors["encoder.weight"].T + tensors["latent_bias"])
        return one("resid_post.6", (latents @ tensors["decoder.weight"].T + tensors["pre_bias"]) * std + mean)

    CASES.append(Case(f"openai-{name}", "openai", build, formula, ("resid_post.6",), (D,), {"site": "resid_post.6"}))


openai(
    "topk",
    lambda z: topk(z, 4).relu(),
    {"activation": "TopK", "activation_state_dict": {"k": 4, "postact_fn": "ReLU"}},
    True,
)
openai("relu", torch.relu, {"activation": "ReLU", "activation_state_dict": {}}, False)


def _config_class():
    """A stand-in for their class of settings: the pickle names it, and nobody here has it."""
    module = types.ModuleType("sae_training.config")
    kind = type("LanguageModelSAERunnerConfig", (), {"__module__": "sae_training.config"})
    module.LanguageModelSAERunnerConfig = kind
    sys.modules.setdefault("sae_training", types.ModuleType("sae_training"))
    sys.modules["sae_training.config"] = module
    return kind


DUNEFSKY = {
    "W_enc": draw(0, D, F),
    "b_enc": draw(1, F),
    "W_dec": draw(2, F, OUT),
    "b_dec": draw(3, D),
    "b_dec_out": draw(4, OUT),
}


def dunefsky(packed: bool) -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        settings = _config_class()()
        settings.__dict__ |= {
            "hook_point": "blocks.8.ln2.hook_normalized",
            "out_hook_point": "blocks.8.hook_mlp_out",
            "model_name": "gpt2-small",
            "is_transcoder": True,
            "dtype": torch.float32,
            "device": torch.device("cpu"),
            "lr": 4e-4,
        }
        value = {"cfg": settings, "state_dict": OrderedDict(DUNEFSKY)}
        path = folder / ("final.pkl.gz" if packed else "final.pt")
        try:
            if packed:
                path.write_bytes(gzip.compress(pickle.dumps(value)))
            else:
                torch.save(value, path)
        finally:
            del sys.modules["sae_training.config"], sys.modules["sae_training"]
        return path

    return build


def _dunefsky(x: dict[str, Tensor]) -> Outputs:
    t = DUNEFSKY
    acts = ((x["mlp_in.8"] - t["b_dec"]) @ t["W_enc"] + t["b_enc"]).relu()
    return one("mlp_out.8", acts @ t["W_dec"] + t["b_dec_out"])


GOODFIRE = {
    "encoder_linear.weight": draw(0, F, D),
    "encoder_linear.bias": draw(1, F),
    "decoder_linear.weight": draw(2, D, F),
    "decoder_linear.bias": draw(3, D),
}


def goodfire(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(GOODFIRE, folder / "Llama-3.1-8B-Instruct-SAE-l19.pth")
    return folder / "Llama-3.1-8B-Instruct-SAE-l19.pth"


def _goodfire(x: dict[str, Tensor]) -> Outputs:
    acts = (x["resid_post.19"] @ GOODFIRE["encoder_linear.weight"].T + GOODFIRE["encoder_linear.bias"]).relu()
    return one("resid_post.19", acts @ GOODFIRE["decoder_linear.weight"].T + GOODFIRE["decoder_linear.bias"])


CASES += [
    Case("dunefsky-pt", "dunefsky", dunefsky(False), _dunefsky, ("mlp_in.8",), (D,), model="gpt2-small"),
    Case("dunefsky-pkl-gz", "dunefsky", dunefsky(True), _dunefsky, ("mlp_in.8",), (D,), model="gpt2-small"),
    Case("goodfire", "goodfire", goodfire, _goodfire, ("resid_post.19",), (D,)),
]
