"""The Triton kernels: right under the interpreter, and compiled to machine code for two NVIDIA generations."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparse_kernels.gpu import compiled

pytest.importorskip("triton", reason="triton has no wheel for this system")

STANDARD = compiled.standard_kernels()
SHARED = {80: 163 << 10, 90: 227 << 10}
"""Bytes of shared memory that one program may ask for."""


def test_kernels_agree_with_the_references():
    scripts = sorted(map(str, (Path(__file__).parent / "interpreted").glob("*.py")))
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    environment.pop("WORKBENCH_KERNELS", None)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *scripts, "-q", "-p", "no:cacheprovider", "-o", "addopts="],
        check=False,
        timeout=600,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    assert " passed" in run.stdout


def test_every_kernel_has_a_standard_shape():
    """A kernel without one would be compiled by nobody before it meets a GPU."""
    folder = Path(compiled.__file__).parent
    jitted = {
        node.name
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
        if any(ast.unparse(decorator) == "triton.jit" for decorator in node.decorator_list)
    }
    assert jitted == set(STANDARD)


@pytest.mark.parametrize("capability", compiled.CAPABILITIES)
@pytest.mark.parametrize("name", STANDARD)
def test_compiles_to_machine_code_without_spills(
    name: str, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    kernel = compiled.compile_kernel(STANDARD[name], capability)
    assert {"ttir", "ttgir", "llir", "ptx", "cubin"} <= set(kernel.asm)
    usage = compiled.resource_usage(kernel.asm["cubin"])
    assert usage["LOCAL"] == 0, usage
    assert usage["STACK"] == 0, usage
    assert 0 < usage["REG"] <= 255
    assert kernel.metadata.shared <= SHARED[capability]
    assert STANDARD[name].h100_ms > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", STANDARD)
def test_nothing_forbids_amd(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    assert "hsaco" in compiled.compile_kernel(STANDARD[name], "gfx942").asm


def test_the_table_of_compiled_kernels(monkeypatch: pytest.MonkeyPatch):
    smallest = {"write_codes": STANDARD["write_codes"]}
    monkeypatch.setattr(compiled, "standard_kernels", lambda: smallest)
    rows = list(compiled.compiled_kernels())
    assert [row["target"] for row in rows] == ["sm_80", "sm_90"]
    assert all(row["registers"] > 0 and row["spilled_bytes"] == 0 for row in rows)
