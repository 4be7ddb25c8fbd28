"""Where activations turn from the token that is to the token that comes: rotation and covariance layer by layer.

Chang and Bergen (2025): from the activations after each layer, ridge maps to the input embedding and to the final
activations; a map's rotation is the median absolute angle of its complex eigenvalues. Similarity of two layers: cosine
of their covariances, each without its largest direction.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Site
from workbench.data import PackedText
from workbench.models import HookedModel, TokenBatch
from workbench.subnetworks import trained_positions

from .bigram import spread_over
from .bigram_config import BigramEvalConfig

Array = np.ndarray
_FIRST = 3


@torch.no_grad()
def layer_rows(
    model: HookedModel, text: PackedText, config: BigramEvalConfig, weights: Mapping[str, Tensor] | None = None
) -> list[Float[Tensor, "n d"]]:
    """The residual stream at every position that counts: before layer 0, then after every layer."""
    sites = [Site("resid_pre", 0), *(Site("resid_post", layer) for layer in range(model.shape.n_layers))]
    found: list[list[Tensor]] = [[] for _ in sites]
    text, bos = spread_over(text, config.rotation_sequences), getattr(model.tokenizer, "bos_id", None)
    for start in range(0, len(text), config.batch_sequences):
        part = slice(start, start + config.batch_sequences)
        tokens = TokenBatch(text.ids[part].long(), text.lengths[part].long())
        where = trained_positions(tokens, model.policy, bos)
        run = model.run(tokens, sites=sites, logits=False, weights=weights or None)
        for rows, site in zip(found, sites, strict=True):
            rows.append(run.activations[site][where].double())
    return [torch.cat(rows) for rows in found]


def rotations(rows: list[Float[Tensor, "n d"]], ridge: float, every: int = 1) -> list[dict[str, Any]]:
    """Degrees of the maps from a layer to the input and to the last layer; layer 0 is the embedding itself.

    Every layer up to the third, from there every `every`-th, and the last.
    """
    return [
        {
            "layer": layer,
            "to_input": rotation(ridge_map(own, rows[0], ridge)),
            "to_output": rotation(ridge_map(own, rows[-1], ridge)),
        }
        for layer, own in enumerate(rows)
        if layer <= _FIRST or layer % every == 0 or layer == len(rows) - 1
    ]


def ridge_map(x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], ridge: float) -> Float[Tensor, "d d"]:
    """W that minimises |(x - mean) W - (y - mean)|^2 + ridge |W|^2."""
    x, y = x - x.mean(0), y - y.mean(0)
    return torch.linalg.solve(x.T @ x + ridge * torch.eye(x.shape[1], dtype=x.dtype), x.T @ y)


def rotation(matrix: Float[Tensor, "d d"]) -> float:
    """Median absolute angle of the eigenvalues in degrees: 0 for a stretch, 90 for a quarter turn."""
    return float(torch.linalg.eigvals(matrix).angle().abs().rad2deg().median())


def covariance_similarity(rows: list[Float[Tensor, "n d"]]) -> Float[Array, "l l"]:
    """Cosine of the covariances of every two layers, each without its largest direction."""
    kept = []
    for own in rows:
        values, vectors = torch.linalg.eigh(torch.cov(own.T))
        values[-1] = 0
        found = (vectors * values) @ vectors.T
        kept.append((found / found.norm()).flatten())
    stacked = torch.stack(kept)
    return (stacked @ stacked.T).numpy()
