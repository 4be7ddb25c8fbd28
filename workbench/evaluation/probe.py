"""Linear probes on few columns: mean-difference selection and logistic regression, split by group."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
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
    """Logistic regression on standardised columns, both kinds of rows weighing the same."""

    def __init__(self, x: Float[Array, "n k"], label: Bool[Array, " n"]) -> None:
        self._mean, self._scale = x.mean(0), x.std(0)
        self._scale[self._scale < 1e-12] = 1.0
        self._model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=500)
        self._model.fit((x - self._mean) / self._scale, label)

    @property
    def direction(self) -> Float[Array, " k"]:
        """The gradient of the logit with respect to the raw columns."""
        return self._model.coef_[0] / self._scale

    def logits(self, x: Float[Array, "n k"]) -> Float[Array, " n"]:
        """Positive where the probe says yes."""
        return self._model.decision_function((x - self._mean) / self._scale)


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
