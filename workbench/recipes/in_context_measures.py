"""What the trained models of in-context regression are held against: predictors, probes and pasted blocks."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from workbench.core import Progress
from workbench.data import draw_contexts, represent
from workbench.models import RegressionTransformer
from workbench_probes import (
    Distances,
    InContextConfig,
    Predictor,
    distance_row,
    distances,
    interval,
    pooled_probes,
    reference_predictors,
    ridge,
)

from .in_context_runs import InContextRun

Array = np.ndarray
NOISES = (0.0, 1 / 16, 1 / 9, 1 / 4, 4 / 9)
"""The variances of the paper's sweep, over a weight's."""
_PENALTIES = tuple(float(value) for value in np.geomspace(0.01, 2, 24))


class Comparison(NamedTuple):
    """A trained run beside the reference predictors, on fresh contexts of its own task."""

    run: InContextRun
    found: dict[str, Distances]
    error: dict[str, float]
    """Squared error over d of the model's answers, with its interval."""
    best: dict[str, float]
    """The same of the Bayes predictor."""
    penalties: dict[float, Array]
    """SPD of each context to ridge regression with each penalty."""

    def rows(self, config: InContextConfig) -> list[dict[str, Any]]:
        """One row a reference predictor, the nearest first."""
        about = {"model": self.run.name, "layers": self.run.layers, "noise": self.run.task.noise}
        rows = [{**about, **distance_row(found, config)} for found in self.found.values()]
        return sorted(rows, key=lambda row: row["spd"])


def references(run: InContextRun) -> dict[str, Predictor]:
    """The predictors that a run is held against; each knows the noise and, if the task has one, the representation."""
    noise, layers = run.task.noise, run.task.representation
    if layers:
        inside: Predictor = partial(_represented, layers=layers)
        return {"least squares of the representation": inside, **reference_predictors(noise)}
    penalties = {ridge_name(value): partial(ridge, penalty=value) for value in NOISES if value}
    return {**reference_predictors(noise), **penalties, "always 0": _nothing}


def ridge_name(penalty: float) -> str:
    """What ridge regression with a penalty is called; without one it is least squares."""
    return f"ridge {penalty:.3g}" if penalty else "least squares"


def compare_run(run: InContextRun, model: RegressionTransformer, config: InContextConfig) -> Comparison:
    """SPD and ILWD to every reference, and the error beside the least possible one."""
    x, y, queries, truth = _contexts(run, config)
    held = references(run)
    grid: dict[str, Predictor] = {str(value): partial(ridge, penalty=value) for value in _PENALTIES}
    found = {row.predictor: row for row in distances(model.query, {**held, **grid}, x, y, queries, config.lengths)}
    penalties = {0.0: found["least squares"], **{value: found[str(value)] for value in _PENALTIES}}
    best = held["least squares of the representation"] if run.task.representation else _bayes(run.task.noise)
    error, least = (_error(predictor, x, y, queries, truth, config) for predictor in (model.query, best))
    spd = {value: row.spd.mean(1) for value, row in penalties.items()}
    return Comparison(run, {name: found[name] for name in held}, error, least, spd)


def nearest_penalty(compared: Comparison, config: InContextConfig) -> dict[str, float]:
    """The penalty of the ridge regression that a model's answers are nearest to by SPD, with a 95 % interval."""
    penalties = np.array(list(compared.penalties))
    found = np.stack(list(compared.penalties.values()))
    draw, count = np.random.default_rng(config.seed), found.shape[1]
    counts = draw.multinomial(count, np.full(count, 1 / count), size=config.bootstrap)
    low, high = np.quantile(penalties[(found @ counts.T).argmin(0)], [0.025, 0.975])
    best = float(penalties[found.mean(1).argmin()])
    return {"nearest_penalty": best, "nearest_penalty_low": float(low), "nearest_penalty_high": float(high)}


def probe_rows(
    models: Mapping[str, RegressionTransformer], run: InContextRun, config: InContextConfig, progress: Progress
) -> Iterator[dict[str, Any]]:
    """R^2 by layer for the moment vector X'y and for w, of models that all read the contexts of one run.

    The last y is left out of states and targets: nothing that is predicted depends on it.
    """
    x, y, w = draw_contexts(run.task, config.probe_contexts, config.seed + 1)
    before = x.shape[1] - 1
    targets = {"X'y": (x[:, :before].mT @ y[:, :before, None])[..., 0], "w": w}
    for name, model in models.items():
        hidden = _states(model, x, y)
        for target, wanted in targets.items():
            for network in (False, True):
                kind = "network" if network else "linear"
                for row in pooled_probes(hidden, wanted, config, network, progress):
                    yield {"model": name, "target": target, "probe": kind, **row}


@torch.no_grad()
def _states(model: RegressionTransformer, x: Tensor, y: Tensor) -> Tensor:
    parts = [torch.stack(model.hidden(*part))[:, :, :-1] for part in zip(x.split(512), y.split(512), strict=True)]
    return torch.cat(parts, 1)


def _contexts(run: InContextRun, config: InContextConfig) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pairs, queries that follow the same law, and the true answers to these without noise."""
    pairs = max(config.lengths)
    task = run.task.model_copy(update={"pairs": pairs + config.queries})
    x, y, w = draw_contexts(task, config.contexts, config.seed)
    queries = x[:, pairs:]
    truth = torch.einsum("bmd,bd->bm", represent(queries, task.representation), w)
    return x[:, :pairs], y[:, :pairs], queries, truth


@torch.no_grad()
def _error(
    predictor: Predictor, x: Tensor, y: Tensor, queries: Tensor, truth: Tensor, config: InContextConfig
) -> dict[str, float]:
    found = [(predictor(x[:, :n], y[:, :n], queries) - truth).square().mean(1) for n in config.lengths]
    return interval("error", (torch.stack(found, 1).mean(1) / x.shape[2]).double().numpy(), config)


def _bayes(noise: float) -> Predictor:
    return partial(ridge, penalty=noise) if noise else reference_predictors()["least squares"]


def _nothing(x: Tensor, y: Tensor, queries: Tensor) -> Tensor:
    return torch.zeros_like(queries[..., 0])


def _represented(x: Tensor, y: Tensor, queries: Tensor, layers: int) -> Tensor:
    return reference_predictors()["least squares"](represent(x, layers), y, represent(queries, layers))
