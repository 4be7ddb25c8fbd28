"""Where codes start, and where dead ones start again: centres of rows, rows, or noise."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import child, generator

from .codebook_config import CodebookConfig


class Replacement(NamedTuple):
    """New vectors for some codes."""

    index: Int[Tensor, " m"]
    codes: Float[Tensor, "m p"]


def starting_codes(
    rows: Float[Tensor, "n d"], config: CodebookConfig, seed: int, initial: str | None = None
) -> Float[Tensor, "f p"]:
    """The codes of every group, [G * C, d / G].

    Where codes are summed each starts as a k-th of its centre, so that k of them are as long as one row.
    """
    initial = initial or config.initial
    parts = rows.unflatten(1, (config.groups, -1))
    if initial == "random":
        shape = config.groups * config.codes, parts.shape[2]
        return torch.randn(shape, generator=generator(seed, "codes"), dtype=torch.float64).to(rows)
    made = []
    for group in range(config.groups):
        draw = generator(seed, "codes", group)
        own = parts[:, group]
        if initial == "k-means" and len(own) > config.codes:
            made.append(_centres(own, config.codes, child(seed, "k-means", group)))
        else:
            made.append(_some_rows(own, config.codes, config.replacement_noise, draw))
    share = 1 / config.k if config.pool == "sum" else 1.0
    return torch.cat(made) * share


def draw_replacement(
    dead: Bool[Tensor, " f"], rows: Float[Tensor, "n d"], config: CodebookConfig, number: int
) -> Replacement | None:
    """For every dead code the slice of a random row of the batch, with a little noise; None where none is dead."""
    index = dead.nonzero().flatten()
    if not len(index) or not len(rows):
        return None
    parts = rows.unflatten(1, (config.groups, -1))
    draw = generator(number, "dead codes")
    owner = index // config.codes
    place = torch.empty_like(index)
    for group in range(config.groups):
        own = owner == group
        place[own] = _places(len(rows), int(own.sum()), draw).to(place)
    codes = _blurred(parts[place, owner], config.replacement_noise, draw)
    return Replacement(index, codes / config.k if config.pool == "sum" else codes)


def _centres(rows: Float[Tensor, "n p"], count: int, seed: int) -> Float[Tensor, "c p"]:
    """Centres of mini-batch k-means."""
    from sklearn.cluster import MiniBatchKMeans

    batch = max(1024, 2 * count)
    search = MiniBatchKMeans(
        count,
        random_state=seed % 2**32,
        batch_size=batch,
        max_iter=20,
        n_init=1,  # pyright: ignore[reportArgumentType]
        init="k-means++",
        reassignment_ratio=0.01,
    )
    search.fit(np.ascontiguousarray(rows.detach().double().cpu().numpy()))
    return torch.from_numpy(search.cluster_centers_).to(rows)


def _some_rows(rows: Float[Tensor, "n p"], count: int, noise: float, draw: torch.Generator) -> Float[Tensor, "c p"]:
    """Rows, each once before any comes twice; repeated ones are blurred so that no two codes are alike."""
    if not len(rows):
        return rows.new_zeros(count, rows.shape[1])
    found = rows[_places(len(rows), count, draw).to(rows.device)]
    found[len(rows) :] = _blurred(found[len(rows) :], max(noise, 1e-4), draw)
    return found


def _places(rows: int, count: int, draw: torch.Generator) -> Int[Tensor, " count"]:
    turns = [torch.randperm(rows, generator=draw) for _ in range(-(-count // rows))]
    return torch.cat(turns)[:count] if turns else torch.empty(0, dtype=torch.long)


def _blurred(rows: Float[Tensor, "n p"], noise: float, draw: torch.Generator) -> Float[Tensor, "n p"]:
    blur = torch.randn(rows.shape, generator=draw, dtype=torch.float64).to(rows)
    return rows + noise * rows.norm(dim=1, keepdim=True) * blur
