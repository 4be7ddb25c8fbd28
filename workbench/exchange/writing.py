"""Writing foreign layouts: whole files or none, tensors as safetensors, settings as JSON."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from workbench.core import ArtifactError, write_bytes


def write_tensors(path: Path, tensors: Mapping[str, Tensor | None]) -> None:
    """One safetensors file; names without a tensor are left out."""
    found = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items() if tensor is not None}
    write_bytes(path, save(found))


def write_text_json(path: Path, settings: Mapping[str, Any]) -> None:
    """Settings as the other libraries write them: indented, in the order given."""
    write_bytes(path, json.dumps(settings, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """A new folder with everything that `fill` writes, or nothing.

    Raises:
        ArtifactError: it holds something already, or the place cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArtifactError(f"{folder} is in use", hint="name a new or an empty folder")
    staging = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        staging.mkdir(parents=True)
        fill(staging)
        if folder.exists():
            folder.rmdir()
        os.replace(staging, folder)
    except OSError as error:
        if isinstance(error, ArtifactError):
            raise
        raise ArtifactError(f"cannot write {folder}", found=error.strerror) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
