"""Intervals of shares that are counted, such as successes among samples."""

from scipy import stats

from .bootstrap import Estimate


def proportion(successes: int, trials: int, confidence: float = 0.95) -> Estimate:
    """A share with Wilson's score interval (1927), which stays inside 0 to 1 and is not empty at its ends."""
    if trials <= 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    found = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Estimate(successes / trials, float(found.low), float(found.high))
