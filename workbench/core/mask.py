"""The positions that a MaskPolicy lets count, for a batch of tokens."""

from collections.abc import Collection

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from .policy import MaskPolicy


def position_mask(
    tokens: Int[Tensor, "b t"],
    policy: MaskPolicy,
    special_ids: Collection[int] = (),
    lengths: Int[Tensor, " b"] | None = None,
) -> Bool[Tensor, "b t"]:
    """True where a position counts; positions at or beyond `lengths` (right padding) never do."""
    positions = torch.arange(tokens.shape[1], device=tokens.device)
    keep = (positions >= policy.skip_first).expand(tokens.shape).clone()
    if policy.exclude_special and special_ids:
        keep &= ~torch.isin(tokens, torch.tensor(sorted(special_ids), device=tokens.device))
    if lengths is not None:
        keep &= positions < lengths.to(tokens.device)[:, None]
    return keep
