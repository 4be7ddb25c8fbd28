"""Convergent learning: which units two networks share, one to one, from few others, or as a group (Li et al. 2015)."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from sklearn.cluster import SpectralClustering
from sklearn.linear_model import Lasso

from workbench.core import ConfigError, Progress, Result, ShapeError, Silent, child
from workbench.evaluation import match_scores

from .convergent_config import ConvergentConfig

Array = np.ndarray


def convergence(
    first: Float[Array, "n f"],
    second: Float[Array, "n g"],
    groups: Int[Array, " n"],
    config: ConvergentConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Compare two sets of units on the same rows.

    One-to-one: the matching with the largest summed correlation, learnt on one half of the groups; the correlations
    shown are of the other half. Semi-matching: every unit's best partner, repeats allowed; where it is much better
    than one-to-one, several units share a partner. Null: the same matching with the rows of the second set shifted.
    Sparse prediction: Lasso from all units of the first set, by number of inputs used. Clusters: spectral, of the
    units of both sets, by absolute correlation.

    Tables: `pairs` (first, second, correlation, best, best_correlation), `prediction` (unit, penalty, inputs, r2),
    `clusters` (cluster, first, second, affinity).

    Raises:
        ShapeError: other rows. ConfigError: fewer than two groups, or no unit that varies.
    """
    config, progress = config or ConvergentConfig(), progress or Silent()
    if not len(first) == len(second) == len(groups):
        raise ShapeError("both sets want the same rows", found=f"found {len(first)}, {len(second)}, {len(groups)}")
    learn = _half(groups, config.seed)
    alive = [_alive(x[learn], x[~learn], config.most_units) for x in (first, second)]
    x, y = (np.asarray(rows, dtype=np.float64)[:, kept] for rows, kept in zip((first, second), alive, strict=True))
    progress.phase("compare units", total=3, unit="analyses")
    learnt, seen = correlations(x[learn], y[learn]), correlations(x[~learn], y[~learn])
    sign = np.abs if config.absolute else np.array
    rows, columns = _matched(sign(learnt))
    best = sign(learnt).argmax(1)
    shown = sign(seen)
    pairs = [
        {
            "first": int(alive[0][i]),
            "second": int(alive[1][j]),
            "correlation": float(shown[i, j]),
            "best": int(alive[1][best[i]]),
            "best_correlation": float(shown[i, best[i]]),
        }
        for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
    ]
    progress.advance()
    null = _null(x, y, learn, config)
    prediction = _predictions(x, y, learn, alive[1], config)
    progress.advance()
    clusters = _clusters(x[learn], y[learn], learnt, alive, config)
    progress.advance()
    found = np.array([pair["correlation"] for pair in pairs])
    semi = shown[np.arange(len(best)), best]
    return Result(
        kind="convergence",
        scalars={
            "one_to_one": float(found.mean()),
            "semi": float(semi.mean()),
            "null": null,
            "above_half": float((found > 0.5).mean()),
            "units_first": float(len(alive[0])),
            "units_second": float(len(alive[1])),
        },
        tables={
            "pairs": sorted(pairs, key=lambda pair: -pair["correlation"]),
            "prediction": prediction,
            "clusters": clusters,
        },
        params=config.model_dump(mode="json"),
        notes=(
            f"{int(learn.sum())} rows to match on, {int((~learn).sum())} rows of other groups to measure on; units "
            "that do not vary are left out; null: the second set's rows shifted against the first's.",
        ),
        seed=config.seed,
    )


def correlations(x: Float[Array, "n f"], y: Float[Array, "n g"]) -> Float[Array, "f g"]:
    """Pearson's r of every pair of columns; 0 where one does not vary."""
    a, b = (_standard(rows) for rows in (x, y))
    return a.T @ b / len(x)


def _standard(x: Float[Array, "n f"]) -> Float[Array, "n f"]:
    scale = x.std(0)
    return np.where(scale > 1e-12, (x - x.mean(0)) / np.maximum(scale, 1e-12), 0.0)


def _matched(scores: Float[Array, "f g"]) -> tuple[Int[Array, " m"], Int[Array, " m"]]:
    found = match_scores(torch.from_numpy(scores))
    return found.first.numpy(), found.second.numpy()


def _half(groups: Int[Array, " n"], seed: int) -> Array:
    names = np.unique(groups)
    if len(names) < 2:
        raise ConfigError("comparing wants two groups of rows or more", found=f"found {len(names)}")
    drawn = np.random.default_rng(child(seed, "half")).permutation(names)
    return np.isin(groups, drawn[: (len(names) + 1) // 2])


def _alive(learn: Float[Array, "n f"], test: Float[Array, "m f"], most: int) -> Int[Array, " k"]:
    """Units that vary in both halves, the most often active ones."""
    varies = np.flatnonzero((learn.std(0) > 1e-12) & (test.std(0) > 1e-12))
    if not len(varies):
        raise ConfigError("no unit varies in both halves of the rows", hint="give more rows")
    often = (learn[:, varies] != 0).sum(0)
    return np.sort(varies[np.argsort(-often, kind="stable")[:most]])


def _null(x: Array, y: Array, learn: Array, config: ConvergentConfig) -> float:
    shifts = [np.roll(rows, len(rows) // 2, axis=0) for rows in (y[learn], y[~learn])]
    sign = np.abs if config.absolute else np.array
    rows, columns = _matched(sign(correlations(x[learn], shifts[0])))
    return float(sign(correlations(x[~learn], shifts[1]))[rows, columns].mean())


def _predictions(
    x: Array, y: Array, learn: Array, names: Int[Array, " g"], config: ConvergentConfig
) -> list[dict[str, Any]]:
    draw = np.random.default_rng(child(config.seed, "predicted"))
    chosen = np.sort(draw.choice(len(names), min(config.predicted, len(names)), replace=False))
    mean, scale = x[learn].mean(0), np.maximum(x[learn].std(0), 1e-12)
    inputs, held = (x[learn] - mean) / scale, (x[~learn] - mean) / scale
    rows = []
    for place in chosen.tolist():
        level, spread = y[learn, place].mean(), max(float(y[learn, place].std()), 1e-12)
        wanted, truth = (y[learn, place] - level) / spread, (y[~learn, place] - level) / spread
        for penalty in config.penalties:
            model = Lasso(alpha=penalty, max_iter=500).fit(inputs, wanted)
            left = np.square(truth - model.predict(held)).mean() / max(float(truth.var()), 1e-12)
            used = int(np.count_nonzero(model.coef_))
            rows.append({"unit": int(names[place]), "penalty": penalty, "inputs": used, "r2": 1 - float(left)})
    return rows


def _clusters(
    x: Array, y: Array, across: Float[Array, "f g"], names: list[Int[Array, " _"]], config: ConvergentConfig
) -> list[dict[str, Any]]:
    if config.clusters < 2 or x.shape[1] + y.shape[1] <= config.clusters:
        return []
    affinity = np.abs(np.block([[correlations(x, x), across], [across.T, correlations(y, y)]]))
    made = SpectralClustering(
        config.clusters, affinity="precomputed", random_state=child(config.seed, "clusters") % 2**32
    )
    place = made.fit_predict(affinity)
    rows = []
    for number in range(config.clusters):
        here = place == number
        inner = affinity[np.ix_(here, here)]
        pairs = len(inner) * (len(inner) - 1)
        rows.append(
            {
                "cluster": number,
                "first": int(here[: x.shape[1]].sum()),
                "second": int(here[x.shape[1] :].sum()),
                "affinity": float((inner.sum() - len(inner)) / pairs) if pairs else float("nan"),
                "first_units": names[0][here[: x.shape[1]]].tolist(),
                "second_units": names[1][here[x.shape[1] :]].tolist(),
            }
        )
    return rows
