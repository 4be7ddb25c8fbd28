"""Linear probes on few columns: mean-difference selection and logistic regression, split by group."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GroupShuffleSplit

from .bootstrap import Estimate, ratio
from .config import EvaluateConfig

Array = np.ndarray
INVERSE_PENALTY = 0.1
"""C of the regressions: first letters are told best at this strength from 2,000 words and 576 columns."""


class Split(NamedTuple):
    """Rows to learn from and rows to test on; no group lies on both sides."""

    train: Int[Array, " n"]
    test: Int[Array, " m"]


class Scores(NamedTuple):
    """A probe on the test rows: accuracy with its interval over groups, F1 and area under the ROC curve."""

    accuracy: Estimate
    f1: float
    auc: float


def split_groups(groups: Int[Array, " n"], test_share: float, seed: int) -> Split:
    """Train and test rows by group."""
    made = GroupShuffleSplit(1, test_size=test_share, random_state=seed % 2**32)
    train, test = next(made.split(groups, groups=groups))
    return Split(train, test)


def by_mean_difference(
    x: Float[Array, "n f"], label: Bool[Array, " n"], k: int, positive: bool = False
) -> Int[Array, " k"]:
    """The k columns whose mean differs most between the two kinds of rows (Gurnee et al. 2023), largest first.

    `positive`: only columns that are larger where the label holds.
    """
    difference = x[label].mean(0) - x[~label].mean(0)
    order = np.argsort(-(difference if positive else np.abs(difference)), kind="stable")
    return order[:k]


class Probe:
    """A linear reader of standardised columns; every class weighs the same.

    Methods: `logistic` (multinomial for more than two classes) and `ridge` are regularised, and read columns divided
    by their standard deviation; `mean-difference` scores by the distances from the classes' means, raw.

    Args:
        label: truth values, or class numbers from 0, or, with `regression`, real numbers (ridge).
        strength: inverse of the penalty.
        standardise: whether columns are divided by their standard deviation.

    Attributes:
        weight: [c d] and offset: [c]: logits of raw columns are `x @ weight.T + offset`; c is 1 for two classes.
    """

    def __init__(
        self,
        x: Float[Array, "n k"],
        label: Array,
        strength: float = INVERSE_PENALTY,
        method: str = "logistic",
        *,
        regression: bool = False,
        standardise: bool = True,
    ) -> None:
        mean, scale = x.mean(0), x.std(0)
        scale[scale < 1e-12] = 1.0
        scale = scale if standardise else np.ones_like(scale)
        if method == "mean-difference":
            self.weight, self.offset = _mean_differences(x, label)
            return
        if regression:
            model = Ridge(alpha=1 / strength)
        elif method == "ridge":
            model = RidgeClassifier(alpha=1 / strength, class_weight="balanced")
        else:
            model = LogisticRegression(C=strength, class_weight="balanced", max_iter=500)
        model.fit((x - mean) / scale, label)
        self.weight = np.atleast_2d(model.coef_) / scale
        self.offset = np.atleast_1d(model.intercept_) - self.weight @ mean

    @property
    def direction(self) -> Float[Array, " k"]:
        """The gradient of the (first) logit with respect to the raw columns."""
        return self.weight[0]

    def logits(self, x: Float[Array, "n k"]) -> Array:
        """[n], positive where the probe says yes (or the predicted number); [n c] for more than two classes."""
        found = x @ self.weight.T + self.offset
        return found[:, 0] if found.shape[1] == 1 else found


def _mean_differences(x: Array, label: Array) -> tuple[Float[Array, "c k"], Float[Array, " c"]]:
    means = np.stack([x[label == number].mean(0) for number in np.unique(label)])
    if len(means) == 2:
        weight = means[1:] - means[:1]
        return weight, -weight @ means.mean(0)
    return means, -0.5 * np.square(means).sum(1)


def score(
    logits: Float[Array, " n"], label: Bool[Array, " n"], groups: Int[Array, " n"], config: EvaluateConfig
) -> Scores:
    """How well logits tell the labels; accuracy counts both kinds of rows the same (balanced accuracy)."""
    weight = np.where(label, 0.5 / max(label.sum(), 1), 0.5 / max((~label).sum(), 1)) * len(label)
    right = (logits > 0) == label
    index = np.unique(groups, return_inverse=True)[1]
    accuracy = ratio(np.bincount(index, right * weight), np.bincount(index, weight), config)
    both = 0 < label.sum() < len(label)
    auc = float(roc_auc_score(label, logits)) if both else float("nan")
    return Scores(accuracy, float(f1_score(label, logits > 0)), auc)
