"""Which backend a call takes, and that asking for none imports neither numba nor triton."""

import subprocess
import sys

import pytest
import torch

from sparse_kernels import KernelError
from sparse_kernels.dispatch import choose_backend

FLOAT, DOUBLE = torch.zeros(1), torch.zeros(1, dtype=torch.float64)


@pytest.mark.parametrize(
    ("requested", "environment", "operand", "chosen"),
    [
        ("auto", None, FLOAT, "cpu"),
        ("auto", "", FLOAT, "cpu"),
        ("auto", None, DOUBLE, "reference"),
        ("auto", "reference", FLOAT, "reference"),
        ("auto", "cpu", FLOAT.bfloat16(), "cpu"),
        ("auto", "cpu", DOUBLE, "reference"),
        ("cpu", "reference", FLOAT, "cpu"),
        ("reference", "cpu", DOUBLE, "reference"),
        ("auto", None, torch.zeros(1, device="meta"), "reference"),
    ],
)
def test_the_call_wins_over_the_environment_over_the_device(
    monkeypatch: pytest.MonkeyPatch,
    requested: str,
    environment: str | None,
    operand: torch.Tensor,
    chosen: str,
):
    monkeypatch.delenv("WORKBENCH_KERNELS", raising=False)
    if environment is not None:
        monkeypatch.setenv("WORKBENCH_KERNELS", environment)
    assert choose_backend(requested, operand) == chosen


@pytest.mark.parametrize(
    ("requested", "operand", "message"),
    [
        ("fast", FLOAT, "wanted a backend of auto, reference, cpu, triton; found 'fast'"),
        ("cpu", DOUBLE, "backend 'cpu' wants float32, float16 or bfloat16; found torch.float64"),
        ("cpu", torch.zeros(1, device="meta"), "backend 'cpu' wants CPU tensors; found meta"),
        ("triton", FLOAT, "backend 'triton' wants CUDA tensors; found cpu; try TRITON_INTERPRET=1"),
    ],
)
def test_a_backend_that_cannot_serve_is_refused(
    monkeypatch: pytest.MonkeyPatch, requested: str, operand: torch.Tensor, message: str
):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(KernelError, match=message):
        choose_backend(requested, operand)


def test_an_unknown_name_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORKBENCH_KERNELS", "cuda")
    with pytest.raises(KernelError, match="found 'cuda'"):
        choose_backend("auto", FLOAT)


def test_importing_brings_in_neither_numba_nor_triton():
    script = (
        "import sys, sparse_kernels\n"
        "assert 'torch' not in sys.modules\n"
        "from sparse_kernels import encode_topk, decode, KernelError\n"
        "assert not {'numba', 'triton'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


@pytest.mark.parametrize(("features", "chosen"), [(256, "reference"), (257, "cpu")])
def test_few_features_need_no_compilation(monkeypatch, features, chosen):
    monkeypatch.delenv("WORKBENCH_KERNELS", raising=False)
    assert choose_backend("auto", FLOAT, features) == chosen
    assert choose_backend("cpu", FLOAT, features) == "cpu"
