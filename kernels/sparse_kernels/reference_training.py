"""The meaning of a training step's operations, in plain PyTorch: obvious, and slow where that is clearer."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels.reference import decode


def reconstruction_error(
    index: Int[Tensor, "*codes"],
    value: Float[Tensor, "*codes"],
    weight: Float[Tensor, "f d"],
    base: Float[Tensor, "*n d"],
    target: Float[Tensor, "n d"],
    offsets: Int[Tensor, " n+1"] | None = None,
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n d"]]:
    """Decode, add `base`, compare. Half precision computes in float32."""
    index, value, weight, base, target = index.long(), *(_wide(each) for each in (value, weight, base, target))
    residual = decode(index, value, weight, offsets) + base - target
    return residual.square().sum(1), residual.detach()


def squared_deviation(rows: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Subtract the mean, square, add up."""
    return (_wide(rows) - _wide(rows).mean(0)).square().sum() if len(rows) else _wide(rows).sum()


def row_sparse_adam(
    rows: Int[Tensor, " m"],
    gradient: Float[Tensor, "m ..."],
    weight: Float[Tensor, "f ..."],
    mean: Float[Tensor, "f ..."],
    square: Float[Tensor, "f ..."],
    steps: Int[Tensor, " f"],
    lr: float,
    betas: tuple[float, float],
    eps: float,
) -> None:
    """Take the rows out, make one step of Adam with each row's own count, put them back."""
    rows = rows.long()
    steps[rows] += 1
    count = steps[rows].double().reshape(-1, *(1 for _ in gradient.shape[1:]))
    first = betas[0] * mean[rows] + (1 - betas[0]) * gradient
    second = betas[1] * square[rows] + (1 - betas[1]) * gradient.square()
    mean[rows], square[rows] = first, second
    spread = (second.double() / (1 - betas[1] ** count)).sqrt() + eps
    weight[rows] -= (lr * first.double() / (1 - betas[0] ** count) / spread).to(weight.dtype)


def unit_norm(weight: Float[Tensor, "f d"]) -> None:
    """Divide every row by its length; a row of zeros stays."""
    length = weight.norm(dim=1, keepdim=True)
    weight.div_(torch.where(length == 0, 1.0, length))


def remove_radial(rows: Int[Tensor, " m"] | None, gradient: Float[Tensor, "m d"], weight: Float[Tensor, "f d"]) -> None:
    """Subtract the projection on the row."""
    chosen = weight if rows is None else weight[rows]
    along = (gradient * chosen).sum(1, keepdim=True)
    total = chosen.square().sum(1, keepdim=True)
    gradient.sub_(along / torch.where(total == 0, 1.0, total) * chosen)


def note_firing(
    rows_since_fired: Int[Tensor, " f"], index: Int[Tensor, "*codes"], value: Float[Tensor, "*codes"], rows: int
) -> None:
    """Add, then clear the counters of active entries; nothing here waits for a GPU."""
    fired = torch.zeros(len(rows_since_fired) + 1, dtype=torch.bool, device=rows_since_fired.device)
    fired[torch.where(value != 0, index, len(rows_since_fired)).flatten()] = True
    rows_since_fired.add_(rows).masked_fill_(fired[:-1], 0)


def keep_topk(scores: Float[Tensor, "n m"], k: int) -> None:
    """ReLU, a stable sort from large to small, zeros beyond k. NaN ranks first and stays."""
    scores.copy_(torch.relu(scores))
    beyond = torch.sort(scores, dim=1, descending=True, stable=True).indices[:, k:]
    scores.scatter_(1, beyond, 0.0)


def _wide(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
