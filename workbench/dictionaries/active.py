"""Active features, dense while everything is needed or sparse as Codes: how they are chosen and decoded."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sparse_kernels import decode as sparse_decode, encode_batch_topk, encode_threshold
from workbench.core import Codes

Active = Codes | Float[Tensor, "n f"]


def decode(active: Active, weight: Float[Tensor, "f d"]) -> Float[Tensor, "n d"]:
    """The sum over a row's features of value times the feature's row of `weight`."""
    if isinstance(active, Tensor):
        return active @ weight
    return sparse_decode(active.index, active.value, weight, active.offsets)


def above(
    x: Float[Tensor, "n d"],
    weight: Float[Tensor, "f d"],
    bias: Float[Tensor, " f"],
    threshold: Float[Tensor, " f"] | Float[Tensor, ""] | float,
) -> Codes:
    """The pre-activations above a threshold, as ragged codes; NaN counts as above, so that it is seen."""
    index, value, ends = encode_threshold(x, weight, bias, threshold, positive=False)
    return Codes(index, value, weight.shape[0], ends)


def batch_topk(x: Float[Tensor, "n d"], weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"], k: int) -> Codes:
    """The n * k largest positive pre-activations of all rows together, as ragged codes."""
    index, value, ends = encode_batch_topk(x, weight, bias, k)
    return Codes(index, value, weight.shape[0], ends)


def ragged(values: Float[Tensor, "n f"], active: Bool[Tensor, "n f"]) -> Codes:
    """Ragged codes of the entries of a dense matrix that are active."""
    index = active.nonzero(as_tuple=True)
    return Codes(index[1], values[index], values.shape[1], offsets(active.sum(1)))


def offsets(counts: Int[Tensor, " n"]) -> Int[Tensor, " n1"]:
    """Where each row begins, and the end."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def part(codes: Codes, first: int, last: int) -> Codes:
    """The entries of features first to last - 1, as ragged codes over the same features."""
    kept = (codes.index >= first) & (codes.index < last)
    if codes.offsets is None:
        counts = kept.sum(1)
    else:
        before = torch.cat([codes.offsets.new_zeros(1), kept.cumsum(0)])
        counts = before[codes.offsets].diff()
    return replace(codes, index=codes.index[kept], value=codes.value[kept], offsets=offsets(counts))


def join(several: Sequence[Codes]) -> Codes:
    """Codes of the same rows side by side, as padded rows where there are several."""
    if len(several) == 1:
        return several[0]
    padded = [codes.padded() for codes in several]
    index, value = (torch.cat([getattr(codes, name) for codes in padded], 1) for name in ("index", "value"))
    return Codes(index, value, several[0].width)


def features_active(active: Active) -> Bool[Tensor, " f"]:
    """Which features are active in any row."""
    if isinstance(active, Tensor):
        return (active != 0).any(0)
    found = torch.zeros(active.width, dtype=torch.bool, device=active.index.device)
    found[active.index[active.value != 0]] = True
    return found


def mean_l0(active: Active) -> Float[Tensor, ""]:
    """Mean number of active features in a row."""
    values = active if isinstance(active, Tensor) else active.value
    return (values != 0).sum() / max(len(active), 1)
