"""Weight files: are they whole, what do they hash to, how much memory will they take."""

import contextlib
import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.core import ArtifactError, ModelError, write_json
from workbench.workspace import cache_folder

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.ckpt", "tf_model.h5")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder, every one present and whole.

    Raises:
        ModelError: none, one of the shards that the index names is missing, or a file is truncated.
    """
    if (folder / _INDEX).exists():
        try:
            shards = sorted(set(json.loads((folder / _INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise ModelError(f"cannot read {folder / _INDEX}", found=str(error)) from None
        missing = [name for name in shards if not (folder / name).exists()]
        if missing:
            raise ModelError(
                f"wanted {len(shards)} weight files in {folder}",
                found=f"missing: {', '.join(missing)}",
                hint="copy or download them again",
            )
        files = [folder / name for name in shards]
    elif (folder / _SINGLE).exists():
        files = [folder / _SINGLE]
    else:
        raise ModelError(f"wanted weights as safetensors in {folder}", found=_what_else(folder), hint=_advice(folder))
    for file in files:
        _require_whole(file)
    return files


def _what_else(folder: Path) -> str:
    pickles = [name for name in _PICKLES if (folder / name).exists()]
    return f"found only {', '.join(pickles)}" if pickles else f"found no {_SINGLE}"


def _advice(folder: Path) -> str:
    if any((folder / name).exists() for name in _PICKLES):
        return (
            "pickled weights can run code and are never read: convert them where you trust them, with "
            "`AutoModelForCausalLM.from_pretrained(folder).save_pretrained(new_folder)`"
        )
    return "check the path"


def _require_whole(file: Path) -> None:
    """Compare the header's last offset with the file's size: cheap, and it catches a broken download."""
    size = file.stat().st_size
    try:
        with open(file, "rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            header = json.loads(handle.read(length)) if length < size else None
        if header is None:
            raise ValueError("its header is cut off")
        end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        if 8 + length + end != size:
            raise ValueError(f"{size:,} bytes instead of {8 + length + end:,}")
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{file} is damaged or truncated", found=str(error) or "no header", hint="copy or download it again"
        ) from None


def parameter_count(files: Iterable[Path]) -> int:
    """Numbers stored in safetensors files, read from their headers."""
    total = 0
    for file in files:
        with open(file, "rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            header = json.loads(handle.read(length))
        for name, entry in header.items():
            if name != "__metadata__":
                total += torch.Size(entry["shape"]).numel()
    return total


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Hex sha256 over names, dtypes, shapes and bytes, sorted by name; how they are split into files is nothing."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        _update(digest, name, tensors[name])
    return digest.hexdigest()


def _update(digest, name: str, tensor: Tensor) -> None:
    digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
    digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def hash_files(files: list[Path]) -> str:
    """`hash_tensors` of what safetensors files hold, one tensor in memory at a time; remembered in the cache.

    Raises:
        ModelError: a file cannot be read.
    """
    marks = [f"{file.resolve()}\0{file.stat().st_size}\0{file.stat().st_mtime_ns}" for file in files]
    memory = cache_folder() / "hashes" / f"{hashlib.sha256(chr(10).join(marks).encode()).hexdigest()[:32]}.json"
    try:
        return json.loads(memory.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = _hash_stored(files)
    with contextlib.suppress(ArtifactError):  # a read-only cache costs a second at every load, no more
        write_json(memory, {"sha256": found, "files": [str(file) for file in files]})
    return found


def _hash_stored(files: list[Path]) -> str:
    digest = hashlib.sha256()
    try:
        opened = [safe_open(file, framework="pt") for file in files]
        where = {name: handle for handle in opened for name in handle.keys()}  # noqa: SIM118
        for name in sorted(where):
            _update(digest, name, where[name].get_tensor(name))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"cannot read the weights in {files[0].parent}", found=str(error)) from None
    return digest.hexdigest()
