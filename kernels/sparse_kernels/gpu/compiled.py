"""Triton kernels compiled ahead of time, on any machine, and what the machine code uses."""

import functools
import importlib
import pkgutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sparse_kernels import gpu
from sparse_kernels.errors import KernelError
from sparse_kernels.gpu.standard import Standard

CAPABILITIES = (80, 90)
"""NVIDIA generations: A100 and H100."""


@functools.cache
def standard_kernels() -> dict[str, Standard]:
    """Every kernel of this package by name, at its standard shape."""
    found: dict[str, Standard] = {}
    for module in pkgutil.iter_modules(gpu.__path__):
        for entry in getattr(importlib.import_module(f"sparse_kernels.gpu.{module.name}"), "STANDARD", ()):
            assert entry.name not in found, f"two kernels of the name {entry.name}"
            found[entry.name] = entry
    return found


def compiled_kernels(capabilities: Sequence[int] = CAPABILITIES) -> Iterator[dict[str, Any]]:
    """One record for each kernel and NVIDIA generation: registers of a thread, shared bytes of a program, spills.

    Works without a GPU: the compiler and the assembler come with triton.

    Raises: KernelError where triton, or its tool for reading machine code, is not installed.
    """
    for name, entry in standard_kernels().items():
        for capability in capabilities:
            compiled = compile_kernel(entry, capability)
            usage = resource_usage(compiled.asm["cubin"])
            yield {
                "kernel": name,
                "target": f"sm_{capability}",
                "warps": entry.launch.warps,
                "registers": usage["REG"],
                "shared_bytes": compiled.metadata.shared,
                "spilled_bytes": usage["STACK"] + usage["LOCAL"],
                "floor_mb": entry.floor_bytes / 1e6,
                "floor_gflop": entry.floor_flops / 1e9,
                "h100_floor_ms": entry.h100_ms,
            }


def compile_kernel(entry: Standard, capability: int | str) -> Any:
    """Triton's compiled kernel, down to machine code: `asm["cubin"]`; `asm["hsaco"]` for AMD ("gfx942").

    Raises: KernelError where triton is not installed.
    """
    try:
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource
    except ImportError:
        raise KernelError("compiling wants the triton package; found none; it has wheels for Linux only") from None
    target = GPUTarget("hip", capability, 64) if isinstance(capability, str) else GPUTarget("cuda", capability, 32)
    constants = entry.all_constants()
    signature = entry.signature | dict.fromkeys(constants, "constexpr")
    source = ASTSource(fn=entry.kernel, signature=signature, constexprs=constants)
    return triton.compile(source, target, {"num_warps": entry.launch.warps, "enable_fp_fusion": True})


def resource_usage(cubin: bytes) -> dict[str, int]:
    """REG a thread; STACK, SHARED and LOCAL in bytes; as the assembler noted them in the machine code."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "kernel.cubin"
        binary.write_bytes(cubin)
        command = [_cuobjdump(), "--dump-resource-usage", binary]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
    words = run.stdout.splitlines()[-1].split()
    pairs = (word.partition(":") for word in words)
    return {name: int(number) for name, _, number in pairs if number.isdigit()}


def _cuobjdump() -> Path:
    import triton

    tool = Path(str(triton.__file__)).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    if not tool.exists():
        raise KernelError(f"reading machine code wants cuobjdump; found none at {tool}")
    return tool
