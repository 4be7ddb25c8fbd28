"""The meaning of every operation, in plain PyTorch that autograd can follow: obvious, dense and slow."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def encode_topk(
    x: Float[Tensor, "n d"],
    weight: Float[Tensor, "f d"],
    bias: Float[Tensor, " f"] | None,
    k: int,
    *,
    relu: bool = True,
) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Hold all features, sort them stably from large to small, keep k. Half precision computes in float32."""
    scores = _wide(x) @ _wide(weight).T
    if bias is not None:
        scores = scores + _wide(bias)
    if relu:
        scores = torch.relu(scores)
    index = torch.sort(scores.detach(), dim=1, descending=True, stable=True).indices[:, :k]
    return index, scores.gather(1, index).to(x.dtype)


def decode(
    index: Int[Tensor, "n k"], value: Float[Tensor, "n k"], weight: Float[Tensor, "f d"]
) -> Float[Tensor, "n d"]:
    """Gather the chosen rows of `weight`, weigh them, add them up. Half precision computes in float32."""
    rows = _wide(weight)[index.long()]
    return torch.einsum("nk,nkd->nd", _wide(value), rows).to(weight.dtype)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
