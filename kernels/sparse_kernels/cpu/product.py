"""The dense float32 product in the form that is fast on this processor.

PyTorch sends float32 products to MKL. On Intel's processors that is the fastest form, the more so into a buffer
that is used again. On AMD's, MKL runs at half the speed of oneDNN with packed weights (158-170 against 345
GFLOP/s on an EPYC with AVX-512), which PyTorch offers to its compiler and so to us. The choice depends on
processor and build, never on a timing, so that two runs round alike.
"""

import functools
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu.workspace import workspace

PACKING_PAYS = 512
"""Rows from which packing a tile of weights costs less than it saves."""


@functools.cache
def prefers_onednn() -> bool:
    """Whether oneDNN's packed linear is in this build, works, and beats the product PyTorch would choose."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()):
        return False
    if processor_vendor() == "GenuineIntel":
        return False
    try:
        weight = torch.eye(8)
        found = linear_packed(weight, pack(weight, 8), None)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return bool(torch.equal(found, weight))


def processor_vendor() -> str:
    """`GenuineIntel`, `AuthenticAMD`, or whatever the system says of its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "GenuineIntel" if "GenuineIntel" in platform.processor() else platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "unknown")


def pack(weight: Tensor, rows: int) -> Tensor:
    """`weight` [f d] in oneDNN's own layout for products with about `rows` rows."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, rows)


def linear_packed(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x @ weight.T + bias in oneDNN; `weight` may be packed. No autograd."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def tile_width(rows: int, size: int) -> int:
    """Features in a tile: wide enough for the product's full speed, small enough to be scanned from the cache.

    About 4 MB of scores of `size` bytes. Few wide tiles beat many narrow ones, each of which gathers the threads.
    """
    return max(512, (4 << 20) // (size * max(rows, 1)) // 256 * 256)


def score_tiles(x: Tensor, weight: Tensor, bias: Tensor | None, multiple: int = 1) -> Iterator[tuple[int, Tensor]]:
    """(first feature, scores [n, tile]) in rising order; a tile is overwritten by the next.

    Tiles are as wide as a multiple of `multiple` allows.
    """
    onednn = prefers_onednn()
    width = tile_width(len(x), size=4)
    width = max(multiple, width // multiple * multiple)
    for first in range(0, weight.shape[0], width):
        rows = weight[first : first + width]
        offset = None if bias is None else bias[first : first + width]
        if onednn:
            yield first, linear_packed(x, pack(rows, len(x)) if len(x) >= PACKING_PAYS else rows, offset)
            continue
        out = torch.from_numpy(workspace.array("tile", (len(x), len(rows)), np.float32))
        yield first, torch.mm(x, rows.T, out=out) if offset is None else torch.addmm(offset, x, rows.T, out=out)
