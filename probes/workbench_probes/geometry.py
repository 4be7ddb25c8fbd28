"""The shape of representations, site by site, and how alike the sites are."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import Progress, Result, Silent, Site, generator

from .dimension import maximum_likelihood, neighbour_distances, two_nn
from .geometry_config import GeometryConfig
from .representation_pairs import centred, linearity, similarity

MASSIVE = 10.0
"""Rows with a norm above so many medians are massive; a single one can hold most of the variance."""


def geometry(
    rows: Mapping[Site, Float[Tensor, "n d"]],
    config: GeometryConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Measure the rows of every site, which are of the same tokens.

    Table `sites`: anisotropy (share of the variance along the first principal component; 1 / d where all directions
    are alike), mean_cosine (of random pairs, uncentred), participation (effective number of components), massive (rows
    with a norm above 10 medians), anisotropy_rest and participation_rest (without those), two_nn and
    likelihood_dimension with standard errors, median_norm, largest (largest absolute value in medians of the absolute
    values), kurtosis (mean over rows, 3 for a Gaussian), half (coordinates that hold half of a row's absolute sum),
    linearity_to_next. Table `pairs`: cka, cca, rsa, linearity. Arrays `cka` and `rsa` [s s], `spectrum.<site>`
    (shares of the variance).

    Raises:
        ShapeError: too few rows.
    """
    config, progress = config or GeometryConfig(), progress or Silent()
    sites = list(rows)
    count = min(len(part) for part in rows.values())
    draw = torch.randperm(count, generator=generator(config.seed, "rows"))
    chosen = {site: rows[site][draw[: config.rows]].detach().cpu().float() for site in sites}
    ordinary = {site: _usual(x) for site, x in chosen.items()}
    compared = {site: chosen[site][: config.pair_rows] for site in sites}
    couples = [(a, b) for i, a in enumerate(sites) for b in sites[i + 1 :]] if config.all_pairs else []
    couples = couples or list(pairwise(sites))
    progress.phase("geometry", total=len(sites) + len(couples), unit="measurements")
    records, arrays, pairs = [], {}, []
    for site in sites:
        if progress.cancelled():
            break
        record, spectrum = _measure(chosen[site], config)
        records.append({"site": str(site), "layer": site.layer, **record})
        arrays[f"spectrum.{site}"] = spectrum
        progress.advance()
    for first, second in couples:
        if progress.cancelled():
            break
        found = similarity(compared[first], compared[second], config.components)
        straight = linearity(chosen[first], chosen[second])
        usual = ordinary[first] & ordinary[second]
        rest = linearity(chosen[first][usual], chosen[second][usual])
        pairs.append(
            {
                "first": str(first),
                "second": str(second),
                **found._asdict(),
                "linearity": straight,
                "linearity_rest": rest,
            }
        )
        progress.advance()
    by_pair = {(row["first"], row["second"]): row for row in pairs}
    for record, (first, second) in zip(records, pairwise(map(str, sites)), strict=False):
        pair = by_pair.get((first, second), {})
        record |= {"linearity_to_next": pair.get("linearity"), "linearity_to_next_rest": pair.get("linearity_rest")}
    if config.all_pairs and len(pairs) == len(couples):
        arrays |= {name: _square(sites, by_pair, name) for name in ("cka", "rsa")}
    return Result(
        kind="geometry",
        tables={"sites": records, "pairs": pairs},
        arrays=arrays,
        params=config.model_dump(mode="json"),
        notes=(
            f"{min(count, config.rows)} rows a site, the same tokens everywhere; equal rows count once for dimensions.",
            f"Massive: rows with a norm above {MASSIVE:g} medians; 'rest' leaves them out.",
            f"Similarities from {min(count, config.pair_rows)} rows (RSA: 500). Linearity: fitted on half of "
            "all rows, measured on the other half; a little too low where that half has few rows for each dimension.",
        ),
        seed=config.seed,
        partial=len(records) + len(pairs) < len(sites) + len(couples),
    )


def _measure(rows: Float[Tensor, "n d"], config: GeometryConfig) -> tuple[dict[str, Any], np.ndarray]:
    usual = _usual(rows)
    shares, rest = _shares(rows), _shares(rows[usual])
    distances = neighbour_distances(rows, min(config.neighbours, len(rows) - 2))
    nearest, likely = two_nn(distances, config.keep), maximum_likelihood(distances)
    unit = torch.nn.functional.normalize(rows.double(), dim=1)
    n, size = len(rows), rows.abs().double()
    spread = rows.double() - rows.double().mean(1, keepdim=True)
    within = size.sort(1, descending=True).values.cumsum(1)
    record = {
        "anisotropy": float(shares[0]),
        "mean_cosine": float((unit.sum(0).square().sum() - n) / (n * (n - 1))),
        "participation": float(1 / shares.square().sum()),
        "massive": int((~usual).sum()),
        "anisotropy_rest": float(rest[0]),
        "participation_rest": float(1 / rest.square().sum()),
        "two_nn": nearest.value,
        "two_nn_error": nearest.error,
        "likelihood_dimension": likely.value,
        "likelihood_dimension_error": likely.error,
        "median_norm": float(rows.norm(dim=1).median()),
        "largest": float(size.max() / size.median().clamp_min(1e-300)),
        "kurtosis": float((spread.pow(4).mean(1) / spread.square().mean(1).square().clamp_min(1e-300)).mean()),
        "half": float((within < 0.5 * within[:, -1:]).sum(1).double().mean() + 1),
    }
    return record, shares.float().numpy()


def _usual(rows: Float[Tensor, "n d"]) -> Bool[Tensor, " n"]:
    """Which rows are not massive."""
    norms = rows.norm(dim=1)
    return norms <= MASSIVE * norms.median()


def _shares(rows: Float[Tensor, "n d"]) -> Float[Tensor, " k"]:
    """Shares of the variance along the principal components."""
    variance = torch.linalg.svdvals(centred(rows)).square()
    return variance / variance.sum().clamp_min(1e-300)


def _square(sites: list[Site], pairs: Mapping[tuple[str, str], Mapping[str, Any]], name: str) -> np.ndarray:
    found = np.eye(len(sites), dtype=np.float32)
    place = {str(site): number for number, site in enumerate(sites)}
    for (first, second), row in pairs.items():
        found[place[first], place[second]] = found[place[second], place[first]] = row[name]
    return found
