"""The Triton kernels: right under the interpreter, and compiled to machine code for two NVIDIA generations."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton", reason="triton has no wheel for this system")

FLOATS, INTEGERS, NUMBER = "*fp32", "*i64", "i32"
SIGNATURES = {
    "select_tile": {"scores": FLOATS, "kept": INTEGERS, "width": NUMBER, "first": NUMBER},
    "write_codes": {"kept": INTEGERS, "index": INTEGERS, "value": FLOATS, "k": NUMBER},
    "gather_sum": {"index": INTEGERS, "value": FLOATS, "weight": FLOATS, "out": FLOATS, "k": NUMBER, "d": NUMBER},
    "gather_dot": {"index": INTEGERS, "source": FLOATS, "weight": FLOATS, "out": FLOATS, "k": NUMBER, "d": NUMBER},
    "scatter_sum": {
        "begins": INTEGERS,
        "entries": INTEGERS,
        "coefficient": FLOATS,
        "source": FLOATS,
        "out": FLOATS,
        "sums": FLOATS,
        "k": NUMBER,
        "d": NUMBER,
    },
}


def test_kernels_agree_with_the_references():
    script = Path(__file__).parent / "interpreted" / "agreement.py"
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    environment.pop("WORKBENCH_KERNELS", None)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", str(script), "-q", "-p", "no:cacheprovider", "-o", "addopts="],
        check=False,
        timeout=600,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout[-5000:]
    assert " passed" in run.stdout


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("name", SIGNATURES)
def test_compiles_to_machine_code_without_spills(
    name: str, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    compiled = _compile(name, capability, d=576, k=32)
    assert {"ttir", "ttgir", "llir", "ptx", "cubin"} <= set(compiled.asm)
    binary = tmp_path / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    usage = _resource_usage(binary)
    assert usage["LOCAL"] == 0, usage
    assert usage["STACK"] == 0, usage
    assert 0 < usage["REG"] <= 255
    assert compiled.metadata.shared <= 48 << 10


def _compile(name: str, capability: int, d: int, k: int):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from sparse_kernels.gpu import launch, rows, topk

    shape = launch.selection(k, 4096) if name in ("select_tile", "write_codes") else launch.rows_of(d, k)
    constants: dict[str, int | bool] = dict(shape.constants)
    if name == "select_tile":
        constants |= {"FRESH": False, "RELU": True}
    if name == "write_codes":
        del constants["CHUNK"]
    kernel = getattr(topk if hasattr(topk, name) else rows, name)
    signature = SIGNATURES[name] | dict.fromkeys(constants, "constexpr")
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": shape.warps})


def _resource_usage(binary: Path) -> dict[str, int]:
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    run = subprocess.run([tool, "--dump-resource-usage", binary], check=True, capture_output=True, text=True)
    words = run.stdout.splitlines()[-1].split()
    return {name: int(number) for name, _, number in (word.partition(":") for word in words) if number.isdigit()}
