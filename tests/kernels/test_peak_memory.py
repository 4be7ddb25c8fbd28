"""What an encoder really takes from the system at 65,536 features x 4,096 rows, where dense scores are 1 GB."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
import torch
from sparse_kernels import encode_batch_topk, encode_threshold, encode_topk
from sparse_kernels.cpu import rough
from sparse_kernels.cpu.workspace import workspace

name, bfloat16, width = sys.argv[1], sys.argv[2] == "True", int(sys.argv[3])
rough.multiplies_bfloat16 = lambda: bfloat16
operations = {
    "topk": lambda *operands: encode_topk(*operands, 32, backend="cpu"),
    "groups": lambda *operands: encode_topk(*operands, 1, groups=64, backend="cpu"),
    "small groups": lambda *operands: encode_topk(*operands, 1, groups=1024, backend="cpu"),
    "batch": lambda *operands: encode_batch_topk(*operands, 32, backend="cpu"),
    "threshold": lambda *operands: encode_threshold(*operands, 3.3 * width**0.5, backend="cpu"),
}

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) << 10

generator = torch.Generator().manual_seed(0)
x, bias = torch.randn(4096, width, generator=generator), torch.zeros(65536)
weight = torch.randn(65536, width, generator=generator)
operations[name](x[:512], weight[:2048], bias[:2048])  # loads libraries and compiled kernels
workspace.clear()
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
found = operations[name](x, weight, bias)
print(resident("VmHWM") - before - sum(part.nbytes for part in found), found[0].numel())
"""


def transient_bytes(name: str, bfloat16: bool, width: int) -> int:
    """Bytes above inputs and outputs, from a process of its own."""
    command = [sys.executable, "-c", SCRIPT, name, str(bfloat16), str(width)]
    run = subprocess.run(command, check=True, timeout=300, env=dict(os.environ), capture_output=True, text=True)
    above, entries = map(int, run.stdout.split())
    assert entries >= 4096 * 16
    return above


linux = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux's count of resident memory"
)


@linux
@pytest.mark.parametrize("name", ["topk", "batch"])
def test_at_most_64_mb_above_inputs_and_outputs(name: str):
    assert transient_bytes(name, bfloat16=True, width=16) <= 64 << 20


@linux
@pytest.mark.slow
@pytest.mark.parametrize(("bfloat16", "width"), [(True, 16), (False, 16), (True, 576)])
@pytest.mark.parametrize("name", ["topk", "groups", "small groups", "batch", "threshold"])
def test_every_encoder_in_every_precision_and_at_a_real_width(name: str, bfloat16: bool, width: int):
    assert transient_bytes(name, bfloat16, width) <= 64 << 20
