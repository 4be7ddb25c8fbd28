"""What is installed, what is fast on this machine, what is missing, how much disk is taken and how to free it."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from workbench.core import Result, versions
from workbench.workspace import Workspace, cache_folder, folder_bytes

_NEEDED = ("torch", "transformer-lens", "transformers", "numba", "streamlit", "plotly", "scikit-learn", "safetensors")
_TELEMETRY = {
    "HF_HUB_DISABLE_TELEMETRY": "Hugging Face hub",
    "WANDB_MODE": "Weights & Biases (a dependency of transformer-lens)",
    "STREAMLIT_BROWSER_GATHER_USAGE_STATS": "Streamlit",
}


def examine(workspace: Path | str | None = None) -> Result:
    """Look at the installation, the processor, the accelerators and the disk; a few seconds, nothing is changed.

    Tables: `installed`, `machine`, `speed` (GFLOP/s of a 1024 x 576 x 4608 product), `disk`, `telemetry`.
    The scalar `missing` counts what the workbench cannot work without.
    """
    installed = [_package(name) for name in _NEEDED]
    missing = [row["package"] for row in installed if row["version"] == "missing"]
    optional = [
        _package("triton") | {"needed": "on a GPU"},
        _package("weasyprint") | {"needed": "PDF without Chromium"},
    ]
    place, cache = Workspace(workspace), cache_folder()
    notes = [f"Remove everything: `workbench cache clear`, delete {place.path}, `pip uninstall mech-workbench`."]
    notes += [f"Missing: {', '.join(missing)}. Run `pip install -e .` again."] if missing else []
    return Result(
        "doctor",
        scalars={"missing": float(len(missing))},
        tables={
            "installed": [*(row | {"needed": "always"} for row in installed), *optional],
            "machine": _machine(),
            "speed": _speed(),
            "disk": [
                _disk("cache", cache, "workbench cache clear"),
                _disk("workspace", place.path, "workbench artifacts rm"),
            ],
            "telemetry": _telemetry(),
        },
        params=versions(),
        notes=tuple(notes),
    )


def _package(name: str) -> dict[str, Any]:
    try:
        return {"package": name, "version": importlib.metadata.version(name)}
    except importlib.metadata.PackageNotFoundError:
        return {"package": name, "version": "missing"}


def _machine() -> list[dict[str, Any]]:
    memory = psutil.virtual_memory()
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    chromium = next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), "none")
    facts = {
        "processor": f"{platform.processor() or platform.machine()}, {os.cpu_count()} threads",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads in use": torch.get_num_threads(),
        "memory": f"{memory.total / 1e9:.3g} GB, {memory.available / 1e9:.3g} GB free",
        "CUDA GPU": gpu,
        "Apple GPU": "yes" if torch.backends.mps.is_available() else "none",
        "oneDNN": "yes" if torch.backends.mkldnn.is_available() else "no",
        "triton": "yes" if importlib.util.find_spec("triton") else "no",
        "Chromium (PDF reports)": chromium,
    }
    return [{"what": key, "found": str(value)} for key, value in facts.items()]


def _speed() -> list[dict[str, Any]]:
    """One matrix product in each precision; the faster one is worth choosing for capture."""
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        x, w = torch.randn(1024, 576).to(dtype), torch.randn(576, 4608).to(dtype)
        seconds = min(_time(lambda x=x, w=w: x @ w) for _ in range(7))
        rows.append({"product": str(dtype).removeprefix("torch."), "GFLOP/s": 2e-9 * 1024 * 576 * 4608 / seconds})
    return rows


def _time(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _disk(name: str, folder: Path, command: str) -> dict[str, Any]:
    at = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(at).free
    return {
        "place": name,
        "folder": str(folder),
        "GB taken": folder_bytes(folder) / 1e9,
        "GB free": free / 1e9,
        "to free it": command,
    }


def _telemetry() -> list[dict[str, Any]]:
    return [{"of": owner, "switch": key, "value": os.environ.get(key, "not set")} for key, owner in _TELEMETRY.items()]
