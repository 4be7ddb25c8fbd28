"""The meaning of every operation, in plain PyTorch that autograd can follow: obvious, dense and slow."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

Ragged = tuple[Int[Tensor, " m"], Float[Tensor, " m"], Int[Tensor, " n_plus_1"]]
"""(index, value, offsets): row i's entries stand from offsets[i] to offsets[i + 1]."""


def encode_topk(
    x: Float[Tensor, "n d"],
    weight: Float[Tensor, "f d"],
    bias: Float[Tensor, " f"] | None,
    k: int,
    *,
    relu: bool = True,
    groups: int = 1,
) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Hold all features, sort each group stably from large to small, keep k. Half precision computes in float32."""
    scores = _scores(x, weight, bias)
    if relu:
        scores = torch.relu(scores)
    size = weight.shape[0] // groups
    parts = scores.detach().reshape(len(x), groups, size)
    index = torch.sort(parts, dim=2, descending=True, stable=True).indices[:, :, :k]
    index = (index + size * torch.arange(groups, device=x.device)[:, None]).reshape(len(x), groups * k)
    return index, scores.gather(1, index).to(x.dtype)


def encode_batch_topk(
    x: Float[Tensor, "n d"], weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"] | None, k: int
) -> Ragged:
    """Hold all features of all rows in one line, sort it stably from large to small, keep what is positive of n k."""
    scores = _scores(x, weight, bias)
    flat = torch.relu(scores.detach()).flatten()
    best = torch.sort(flat, descending=True, stable=True).indices[: len(x) * k]
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    chosen[best[~(flat[best] <= 0)]] = True
    return _ragged(scores, chosen.view_as(scores), x.dtype)


def encode_threshold(
    x: Float[Tensor, "n d"],
    weight: Float[Tensor, "f d"],
    bias: Float[Tensor, " f"] | None,
    cutoffs: Float[Tensor, " f"],
) -> Ragged:
    """Hold all features, keep those above their cutoff. Half precision computes in float32."""
    scores = _scores(x, weight, bias)
    return _ragged(scores, (scores > _wide(cutoffs)) | scores.isnan(), x.dtype)


def decode(
    index: Int[Tensor, "*codes"],
    value: Float[Tensor, "*codes"],
    weight: Float[Tensor, "f d"],
    offsets: Int[Tensor, " n_plus_1"] | None = None,
) -> Float[Tensor, "n d"]:
    """Gather the chosen rows of `weight`, weigh them, add them up. Half precision computes in float32."""
    rows = _wide(weight)[index.long()]
    if offsets is None:
        return torch.einsum("nk,nkd->nd", _wide(value), rows).to(weight.dtype)
    count = len(offsets) - 1
    owners = torch.repeat_interleave(torch.arange(count, device=index.device), offsets.diff())
    return rows.new_zeros(count, weight.shape[1]).index_add(0, owners, _wide(value)[:, None] * rows).to(weight.dtype)


def _scores(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    scores = _wide(x) @ _wide(weight).T
    return scores if bias is None else scores + _wide(bias)


def _ragged(scores: Tensor, chosen: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    offsets = torch.zeros(len(scores) + 1, dtype=torch.int64, device=scores.device)
    torch.cumsum(chosen.sum(1), 0, out=offsets[1:])
    return chosen.nonzero()[:, 1], scores[chosen].to(dtype), offsets


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
