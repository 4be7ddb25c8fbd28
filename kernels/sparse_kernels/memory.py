"""Transient memory of a call: the process's peak while it runs, above what was held before."""

import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path

import torch

from sparse_kernels.cpu.workspace import gradients, workspace

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def transient_bytes(call: Callable[[], object], device: torch.device | str = "cpu") -> int | None:
    """Bytes held at the peak of one call, results included, above those held at its start.

    Buffers that the kernels keep between calls are given back first, so they count. On a CPU this is the
    resident memory of the process as Linux reports it (None elsewhere), in steps of pages; on a GPU the
    allocator's own count.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return _on_cuda(call, device)
    if device.type != "cpu":
        return None
    _settle()
    if not _reset_peak():
        return None
    start = _resident("VmRSS")
    kept = call()
    peak = _resident("VmHWM")
    del kept
    return None if start is None or peak is None else max(0, peak - start)


def _on_cuda(call: Callable[[], object], device: torch.device) -> int:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    start = torch.cuda.memory_allocated(device)
    kept = call()
    torch.cuda.synchronize(device)
    del kept
    return torch.cuda.max_memory_allocated(device) - start


def _settle() -> None:
    """Give everything back that is not in use: to the allocator, and from there to the system."""
    gc.collect()
    workspace.clear()
    gradients.clear()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _reset_peak() -> bool:
    """Whether the system forgot the peak so far (Linux: proc(5), clear_refs 5)."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True


def _resident(field: str) -> int | None:
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return None if found is None else int(found[1]) << 10
