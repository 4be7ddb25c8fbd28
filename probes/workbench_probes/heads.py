"""What attention heads do on one prompt: simple scores from their patterns."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Result, ShapeError

SCORES = ("previous_token", "duplicate_token", "induction", "first_token", "entropy")


@torch.no_grad()
def head_scores(patterns: Float[Tensor, "l h t t"], ids: Int[Tensor, " t"]) -> Result:
    """Score every head on one prompt (the kinds of Olsson et al. 2022), means over query positions.

    previous_token: weight on the position before. duplicate_token: weight on earlier copies of the current
    token. induction: weight on what followed earlier copies. first_token: weight on position 0. entropy: of
    the pattern, in nats. Position 0 is no query; duplicate and induction use only positions with an earlier
    copy and are nan without one.

    Raises:
        ShapeError: the patterns are not square over the ids.
    """
    n = len(ids)
    if patterns.shape[-2:] != (n, n):
        raise ShapeError(f"patterns want {n} by {n} positions", found=f"found {tuple(patterns.shape[-2:])}")
    copies = torch.tril(ids[:, None] == ids[None, :], diagonal=-1).to(patterns)
    followers = torch.tril(torch.cat([torch.zeros_like(copies[:, :1]), copies[:, :-1]], 1), diagonal=-1)
    log = torch.where(patterns > 0, patterns.clamp_min(1e-30).log(), torch.zeros_like(patterns))
    scores = {
        "previous_token": patterns.diagonal(-1, -2, -1).mean(-1),
        "duplicate_token": _mean_where(patterns, copies),
        "induction": _mean_where(patterns, followers),
        "first_token": patterns[..., 1:, 0].mean(-1),
        "entropy": -(patterns * log).sum(-1)[..., 1:].mean(-1),
    }
    arrays = {name: score.float().cpu().numpy() for name, score in scores.items()}
    rows = [
        {"layer": layer, "head": head, **{name: float(arrays[name][layer, head]) for name in SCORES}}
        for layer, head in np.ndindex(*patterns.shape[:2])
    ]
    notes = ("Means over the query positions of this one prompt; position 0 is no query.",)
    return Result(kind="attention_heads", tables={"heads": rows}, arrays=arrays, notes=notes)


def _mean_where(patterns: Float[Tensor, "l h t t"], wanted: Float[Tensor, "t t"]) -> Float[Tensor, "l h"]:
    """Mean weight on the wanted keys over the queries that have any."""
    queries = wanted.any(-1)
    return (patterns * wanted).sum(-1)[..., queries].mean(-1)
