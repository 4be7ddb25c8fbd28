"""nearest_code: the nearest codes of a codebook, and what a codebook layer makes of them."""

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels.decoding import decode
from sparse_kernels.dispatch import Backend, choose_backend
from sparse_kernels.encoding import encode_topk
from sparse_kernels.errors import KernelError
from sparse_kernels.operands import FLOATS, check_k, check_like, describe

Metric = Literal["dot", "cosine", "euclidean"]

_GATHERED = 64 << 20
"""Bytes of codes held at a time where distances are computed from differences."""

_MANY_SCORES = 1 << 19
"""Rows times codes from which a search of a small codebook repays that the kernels are compiled."""


def nearest_code(
    x: Float[Tensor, "n *g d"],
    codebook: Float[Tensor, "*g c d"],
    k: int,
    *,
    metric: Metric = "cosine",
    backend: Backend = "auto",
) -> tuple[Int[Tensor, "n *g k"], Float[Tensor, "n *g k"]]:
    """The k nearest codes of each row, nearest first, and how near they are, without the matrix of all codes.

    One codebook [c, d] for rows [n, d]; or a group of them [g, c, d] for rows [n, g, d], one codebook for each
    part, such as one for each head: x.unflatten(1, (g, -1)) makes the parts of [n, g d].

    How near: the dot product; the cosine (0 where either is a zero vector); or the Euclidean distance. Codes are
    ranked in float32 by x . c; by x . (c / |c|); or by x . c + (mean |c|^2 - |c|^2) / 2, which falls as the distance
    rises. Codes of equal rank come lowest first, so copies of a code never decide by chance; that two codes of
    different values tie exactly is only certain where these sums are exact. A cosine is that rank over |x|; a distance
    is computed from the differences to the chosen codes, so it keeps its digits where x and c nearly agree, though the
    rank, and so the order, knows squares of distances only to the rounding of |x| |c|. A row with a NaN has NaN for all
    its codes.

    A search has no gradients: `quantise` brings them.

    The product costs what `encode_topk` does, on which this runs; on an H100 4096 rows x 10,000 codes x 576 are
    47 GFLOP, 0.7 ms at 67 TFLOP/s of float32, and the scores' way to memory and back 328 MB, 0.1 ms.

    Raises: KernelError for operands that do not fit one another, or a k outside 1..c.
    """
    _check(x, codebook, metric)
    check_k(k, codebook.shape[-2], "the codes of a codebook")
    x, codebook = x.detach(), codebook.detach()
    if codebook.ndim == 2:
        return _search(x, codebook, k, metric, backend)
    found = [_search(x[:, group], codes, k, metric, backend) for group, codes in enumerate(codebook)]
    index, nearness = zip(*found, strict=True)
    return torch.stack(index, 1), torch.stack(nearness, 1)


def quantise(
    x: Float[Tensor, "n *g d"],
    codebook: Float[Tensor, "*g c d"],
    k: int,
    *,
    metric: Metric = "cosine",
    reduce: Literal["sum", "mean"] = "sum",
    backend: Backend = "auto",
) -> tuple[Float[Tensor, "n *g d"], Int[Tensor, "n *g k"]]:
    """The sum (or mean) of each row's k nearest codes, and which they are: a codebook layer.

    Backward, x receives the gradient unchanged (straight through) and each chosen code its share of it, summed over
    rows in a fixed order, the same on every run; codes that nobody chose receive 0. Codebook Features (Tamkin,
    Taufeeque, Goodman 2023) describes the sum, its released code takes the mean.

    Raises: KernelError for operands that do not fit one another, or a k outside 1..c.
    """
    if reduce not in ("sum", "mean"):
        raise KernelError(f"reduce: wanted sum or mean; found {reduce!r}")
    index, _ = nearest_code(x, codebook, k, metric=metric, backend=backend)
    flat = index
    if codebook.ndim == 3:
        groups, codes, _ = codebook.shape
        flat = (index + codes * torch.arange(groups, device=index.device)[:, None]).flatten(0, 1)
    share = 1.0 if reduce == "sum" else 1.0 / k
    weights = torch.full(flat.shape, share, dtype=codebook.dtype, device=codebook.device)
    chosen = decode(flat, weights, codebook.reshape(-1, codebook.shape[-1]), backend=backend)
    return straight_through(x, chosen.reshape(x.shape)), index


def straight_through(x: Float[Tensor, "*n d"], quantised: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """`quantised`, whose gradient reaches both operands unchanged.

    Raises: KernelError for operands of different shape, dtype or device.
    """
    if x.shape != quantised.shape:
        raise KernelError(f"quantised: wanted the shape of x {describe(x)}; found {describe(quantised)}")
    check_like("quantised", quantised, "x", x)
    return _StraightThrough.apply(x, quantised)  # pyright: ignore[reportReturnType]


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, quantised: Tensor) -> Tensor:
        return quantised.view_as(quantised)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        return upstream, upstream


def _search(x: Tensor, codebook: Tensor, k: int, metric: Metric, backend: Backend) -> tuple[Tensor, Tensor]:
    """One codebook; float16 and bfloat16 compute in float32 and round at the end."""
    dtype = x.dtype
    x, codebook = (tensor.float() if tensor.dtype != torch.float64 else tensor for tensor in (x, codebook))
    backend = choose_backend(backend, x, None if len(x) * len(codebook) > _MANY_SCORES else len(codebook))
    if metric == "dot":
        index, nearness = encode_topk(x, codebook, None, k, relu=False, backend=backend)
    elif metric == "cosine":
        index, score = encode_topk(x, _unit(codebook), None, k, relu=False, backend=backend)
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        nearness = torch.where(length == 0, 0.0, score / length)
    else:
        squares = codebook.double().square().sum(1)
        lead = ((squares.mean() - squares) / 2).to(codebook.dtype)
        index, _ = encode_topk(x, codebook, lead, k, relu=False, backend=backend)
        nearness = _distances(x, codebook, index)
    return index, nearness.to(dtype)


def _unit(codebook: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(codebook, dim=1, keepdim=True)
    return torch.where(length == 0, 0.0, codebook / length)


def _distances(x: Tensor, codebook: Tensor, index: Tensor) -> Tensor:
    n, k = index.shape
    out = x.new_empty(n, k)
    rows = max(1, _GATHERED // max(1, k * x.shape[1] * x.element_size()))
    for start in range(0, n, rows):
        part = slice(start, start + rows)
        out[part] = torch.linalg.vector_norm(x[part, None] - codebook[index[part]], dim=2)
    return out


def _check(x: Tensor, codebook: Tensor, metric: str) -> None:
    if metric not in get_args(Metric):
        raise KernelError(f"metric: wanted one of {', '.join(get_args(Metric))}; found {metric!r}")
    for name, tensor, shapes in (("x", x, "[n, d] or [n, g, d]"), ("codebook", codebook, "[c, d] or [g, c, d]")):
        if tensor.ndim not in (2, 3):
            raise KernelError(f"{name}: wanted {shapes}; found {describe(tensor)}")
        if tensor.dtype not in FLOATS:
            raise KernelError(f"{name}: wanted a floating dtype; found {describe(tensor)}")
    check_like("codebook", codebook, "x", x)
    if x.ndim == 2 and (codebook.ndim != 2 or codebook.shape[1] != x.shape[1]):
        raise KernelError(f"codebook: wanted [c, {x.shape[1]}] to fit x {describe(x)}; found {describe(codebook)}")
    if x.ndim == 3 and (codebook.ndim != 3 or (len(codebook), codebook.shape[2]) != tuple(x.shape[1:])):
        wanted = f"[{x.shape[1]}, c, {x.shape[2]}]"
        raise KernelError(f"codebook: wanted {wanted} to fit x {describe(x)}; found {describe(codebook)}")
