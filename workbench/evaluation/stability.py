"""Stability: do two trainings find the same features?"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import ConfigError, Result, generator

from .matching import cosines, match_scores

SAME = 0.9
"""A feature counts as found again when its match has a cosine (or correlation) above this."""


def stability(
    decoders: Mapping[str, Float[Tensor, "f d"]],
    codes: Mapping[str, Float[Tensor, "n f"]] | None = None,
    seed: int = 0,
) -> Result:
    """Mean cosine of optimally matched decoder rows for every pair of dictionaries, beside controls.

    Controls take the place of the second dictionary: `random` directions; `random, same covariance` (Gaussian rows
    with the second's covariance, so that a few shared dominant directions do not count as agreement). With `codes`
    of the same rows, latents are matched by the correlation of their activations, too, against `shuffled
    activations` (the second's rows in another order).

    Table `stability`: first, second, measure (`decoder` or `activations`), mean_matched, mean_max (best match of each
    feature, may be shared), share_same (above 0.9), matched.

    Raises:
        ConfigError: fewer than two dictionaries, or of different sizes.
    """
    sizes = {rows.shape[1] for rows in decoders.values()}
    if len(decoders) < 2 or len(sizes) > 1:
        raise ConfigError(
            "stability compares at least two dictionaries that write the same space",
            found=f"{len(decoders)} of sizes {sorted(sizes)}",
        )
    records: list[dict[str, Any]] = []
    for first, second in combinations(decoders, 2):
        one, two = decoders[first].detach().float().cpu(), decoders[second].detach().float().cpu()
        records.append(_record(first, second, "decoder", cosines(one, two)))
        for name, made in _random_rows(two, seed).items():
            records.append(_record(first, name, "decoder", cosines(one, made)))
        if codes:
            left, right = codes[first].detach().float().cpu(), codes[second].detach().float().cpu()
            order = torch.randperm(len(right), generator=generator(seed, "shuffled activations"))
            records.append(_record(first, second, "activations", correlations(left, right)))
            shuffled = correlations(left, right[order])
            records.append(_record(first, "shuffled activations", "activations", shuffled))
    pairs = [row for row in records if row["second"] in decoders]
    means = {
        f"mean_matched_{measure}": [row["mean_matched"] for row in pairs if row["measure"] == measure]
        for measure in ("decoder", "activations")
    }
    return Result(
        kind="stability",
        scalars={name: sum(values) / len(values) for name, values in means.items() if values},
        tables={"stability": records},
        params={"seed": seed},
        notes=(
            "Matched: one-to-one with the largest summed cosine of decoder rows (or correlation of activations over "
            f"the same rows); share_same: above {SAME:g}. Chance is not 0: the controls say what it is at these sizes.",
        ),
        seed=seed,
    )


def correlations(first: Float[Tensor, "n f"], second: Float[Tensor, "n g"]) -> Float[Tensor, "f g"]:
    """Pearson's r of every pair of columns; 0 for a column without spread."""
    return cosines((first - first.mean(0)).T, (second - second.mean(0)).T)


def _record(first: str, second: str, measure: str, scores: Float[Tensor, "f g"]) -> dict[str, Any]:
    found = match_scores(scores)
    return {
        "first": first,
        "second": second,
        "measure": measure,
        "mean_matched": float(found.cosine.mean()),
        "mean_max": float(scores.amax(1).mean()),
        "share_same": float((found.cosine > SAME).double().mean()),
        "matched": len(found.cosine),
    }


def _random_rows(like: Float[Tensor, "f d"], seed: int) -> dict[str, Tensor]:
    draw = generator(seed, "random directions")
    plain = torch.randn(like.shape, generator=draw)
    rows = torch.nn.functional.normalize(like)
    energy, axes = torch.linalg.eigh((rows - rows.mean(0)).T @ (rows - rows.mean(0)) / len(rows))
    alike = torch.randn(like.shape, generator=draw) * energy.clamp_min(0).sqrt() @ axes.T + rows.mean(0)
    return {"random": plain, "random, same covariance": alike}
