"""Cross-fitting: every row is scored by a probe that saw nothing of its group, nor did the choice of its penalty."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import fminbound
from scipy.special import log_softmax
from sklearn.feature_selection import f_classif, f_regression

from workbench.core import ConfigError, child
from workbench.evaluation import Probe, Split, by_mean_difference

from .examples import Examples
from .probe_config import ProbeConfig

Array = np.ndarray


class Fitted(NamedTuple):
    """A probe, the columns that it reads (None: all), and the classes that it saw (empty for numbers)."""

    probe: Probe
    units: Int[Array, " k"] | None
    seen: Int[Array, " s"]
    classes: int

    def logits(self, x: Float[Array, "n d"]) -> Float[Array, "n c"]:
        """One column for two classes and for numbers, else one a class; a class that it never saw is out."""
        found = self.probe.logits(x if self.units is None else x[:, self.units])
        if self.classes <= 2:
            return found[:, None]
        found = np.stack([-found / 2, found / 2], 1) if found.ndim == 1 else found
        whole = np.full((len(found), self.classes), found.min() - 100.0)
        whole[:, self.seen] = found
        return whole


class Crossed(NamedTuple):
    """What held-out probes said.

    Attributes:
        logits: [n c]; one column for two classes (positive: the second) and for numbers.
        probabilities: [n c], calibrated on training rows; empty for numbers.
        strengths: the penalty of each fold.
    """

    logits: Float[Array, "n c"]
    probabilities: Float[Array, "n k"]
    strengths: tuple[float, ...]


def fit_probe(
    x: Float[Array, "n d"], examples: Examples, strength: float, config: ProbeConfig, standardise: bool = True
) -> Fitted:
    """One probe on all the rows given.

    Raises:
        ConfigError: the rows are of one class.
    """
    units = choose_units(x, examples, config.units) if config.method == "sparse" else None
    x = x if units is None else x[:, units]
    if examples.regression:
        probe = Probe(x, examples.targets, strength, "ridge", regression=True, standardise=standardise)
        return Fitted(probe, units, np.zeros(0, int), 0)
    seen, label = np.unique(examples.targets, return_inverse=True)
    if len(seen) < 2:
        only = examples.classes[int(seen[0])]
        raise ConfigError(f"a fold has rows of {only!r} only", hint="take fewer folds, or give more groups")
    method = "logistic" if config.method == "sparse" else config.method
    return Fitted(Probe(x, label, strength, method, standardise=standardise), units, seen, len(examples.classes))


def choose_units(x: Float[Array, "n d"], examples: Examples, count: int) -> Int[Array, " k"]:
    """Columns by difference of means (Gurnee et al. 2023); by F statistic for more classes and for numbers."""
    if len(examples.classes) == 2:
        return by_mean_difference(x, examples.targets == 1, min(count, x.shape[1]))
    score = (f_regression if examples.regression else f_classif)(x[:, x.std(0) > 0], examples.targets)[0]
    alive = np.flatnonzero(x.std(0) > 0)
    return alive[np.argsort(-score, kind="stable")[: min(count, len(alive))]]


def cross_fit(
    x: Float[Array, "n d"],
    examples: Examples,
    config: ProbeConfig,
    strengths: tuple[float, ...] | None = None,
    standardise: bool = True,
) -> Crossed:
    """Held-out logits of every row. Penalties are chosen in each fold's training groups, or given (one a fold)."""
    splits = examples.folds(config.folds, config.seed)
    if strengths is not None:
        logits = _held_out(x, examples, strengths, splits, config, standardise)
        return Crossed(logits, np.zeros((len(x), 0)), strengths)
    chosen = []
    chances = np.zeros((len(x), len(examples.classes)))
    inner = []
    for split in splits:
        train = examples.take(split.train)
        strength, logits = _choose(x[split.train], train, config, standardise)
        chosen.append(strength)
        inner.append((train, logits))
    logits = _held_out(x, examples, tuple(chosen), splits, config, standardise)
    if examples.classes:
        for split, (train, found) in zip(splits, inner, strict=True):
            chances[split.test] = _calibrated(logits[split.test], found, train)
    return Crossed(logits, chances, tuple(chosen))


def _held_out(
    x: Float[Array, "n d"],
    examples: Examples,
    strengths: Sequence[float],
    splits: Sequence[Split],
    config: ProbeConfig,
    standardise: bool,
) -> Float[Array, "n c"]:
    columns = len(examples.classes) if len(examples.classes) > 2 else 1
    logits = np.zeros((len(x), columns))
    for split, strength in zip(splits, strengths, strict=True):
        fitted = fit_probe(x[split.train], examples.take(split.train), strength, config, standardise)
        logits[split.test] = fitted.logits(x[split.test])
    return logits


def _choose(
    x: Float[Array, "n d"], examples: Examples, config: ProbeConfig, standardise: bool
) -> tuple[float, Float[Array, "n c"]]:
    """The strength with the best inner score, and the inner held-out logits under it."""
    splits = examples.folds(config.inner_folds, child(config.seed, "inner"))
    penalised = examples.regression or config.method != "mean-difference"
    tried = []
    for strength in config.strengths if penalised else config.strengths[:1]:
        logits = _held_out(x, examples, [strength] * len(splits), splits, config, standardise)
        tried.append((quality(logits, examples), strength, logits))
    _, strength, logits = max(tried, key=lambda found: found[0])
    return strength, logits


def decide(logits: Float[Array, "n c"]) -> Int[Array, " n"]:
    """The class that logits name."""
    return (logits[:, 0] > 0).astype(int) if logits.shape[1] == 1 else logits.argmax(1)


def quality(logits: Float[Array, "n c"], examples: Examples) -> float:
    """Balanced accuracy, or R^2."""
    if examples.regression:
        total = np.square(examples.targets - examples.targets.mean()).sum()
        return 1 - float(np.square(examples.targets - logits[:, 0]).sum() / max(total, 1e-30))
    return float(((decide(logits) == examples.targets) * examples.weights).mean())


def _calibrated(logits: Float[Array, "m c"], inner: Float[Array, "n c"], train: Examples) -> Float[Array, "m k"]:
    """Probabilities: logits over a temperature fitted on inner held-out rows, plus the classes' log shares."""
    counts = np.bincount(train.targets, minlength=len(train.classes))
    shares = np.log(np.maximum(counts, 1e-9) / len(train))
    rows = np.arange(len(train))

    def log_chances(found: Array, temperature: float) -> Array:
        both = np.concatenate([np.zeros_like(found), found], 1) if found.shape[1] == 1 else found
        return log_softmax(both / temperature + shares, 1)

    def loss(log_temperature: float) -> float:
        return -float(log_chances(inner, np.exp(log_temperature))[rows, train.targets].mean())

    scale = np.log(max(float(np.abs(inner).mean()), 1e-12))
    best = fminbound(loss, scale - 6, scale + 6)
    return np.exp(log_chances(logits, float(np.exp(best))))
