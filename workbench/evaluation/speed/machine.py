"""What a time depends on: processor, threads, device and versions."""

import platform
import sys
from pathlib import Path
from typing import Any

import torch

from workbench.core import versions


def machine(device: torch.device) -> dict[str, Any]:
    """Provenance of a benchmark."""
    found: dict[str, Any] = {
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads_used": torch.get_num_threads(),
        "versions": versions(),
    }
    if device.type == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    return found


def processor() -> str:
    """The processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def peak_memory() -> int:
    """The highest resident memory of this process so far, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
