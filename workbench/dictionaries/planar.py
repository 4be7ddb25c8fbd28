"""Directions laid out in the plane, so that what is alike lies together."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import ConfigError

Method = Literal["pca", "t-sne"]


def planar(rows: Float[Tensor, "n d"], method: Method = "pca", seed: int = 0) -> Float[Tensor, "n 2"]:
    """Two coordinates for every direction; its length does not count.

    Args:
        method: `pca`: the two directions of largest variance, signs fixed by the largest coordinate; `t-sne`: by
            neighbours in cosine distance (van der Maaten & Hinton 2008), begun from the former, distances between far
            groups mean nothing.

    Raises:
        ConfigError: fewer than four rows.
    """
    if len(rows) < 4:
        raise ConfigError("a map wants four directions or more", found=f"found {len(rows)}")
    unit = torch.nn.functional.normalize(rows.detach().float().cpu(), dim=1)
    centred = unit - unit.mean(0)
    axes = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)[:, :2]
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    flat = centred @ axes
    if method == "pca":
        return flat
    from sklearn.manifold import TSNE

    begin = flat / flat[:, 0].std().clamp_min(1e-12) * 1e-4
    perplexity = min(30.0, (len(rows) - 1) / 3)
    made = TSNE(metric="cosine", perplexity=perplexity, init=begin.numpy(), random_state=seed, n_jobs=1)
    return torch.from_numpy(made.fit_transform(unit.numpy())).float()
