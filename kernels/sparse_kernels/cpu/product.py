"""The dense float32 product in the best form that this PyTorch has: oneDNN with packed weights, else MKL's.

PyTorch sends float32 products to MKL, which runs at half of oneDNN's speed on AMD processors; on Intel's
they are about equal. The choice depends on the build and the shapes only, never on a timing, so that
two runs round alike.
"""

import functools
from collections.abc import Iterator

import torch
from torch import Tensor

TILE = 256
"""Features in a tile: a tile of 4096 rows is 4 MB and stays in the cache until it has been scanned."""
PACKING_PAYS = 512
"""Rows from which packing a tile of weights costs less than it saves."""


@functools.cache
def onednn_linear() -> bool:
    """Whether oneDNN's linear with packed weights is in this build and works."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        weight = torch.eye(8)
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, 8)
        found = torch.ops.mkldnn._linear_pointwise(weight, packed, None, "none", [], "")
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return bool(torch.equal(found, weight))


def pack(weight: Tensor, rows: int) -> Tensor:
    """`weight` [f d] in oneDNN's own layout, or itself where oneDNN is not to be had."""
    return torch.ops.mkldnn._reorder_linear_weight(weight, rows) if onednn_linear() else weight


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x @ weight.T + bias for float32 operands without gradient; `weight` may be packed."""
    if onednn_linear() and torch.backends.mkldnn.enabled:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return torch.nn.functional.linear(x, weight, bias)


def score_tiles(x: Tensor, weight: Tensor, bias: Tensor | None, tile: int = TILE) -> Iterator[tuple[int, Tensor]]:
    """(first feature, scores [n, tile]) for tiles of features in rising order."""
    packing = onednn_linear() and x.shape[0] >= PACKING_PAYS
    for first in range(0, weight.shape[0], tile):
        rows = weight[first : first + tile]
        yield (
            first,
            linear(
                x,
                pack(rows, x.shape[0]) if packing else rows,
                None if bias is None else bias[first : first + tile],
            ),
        )
