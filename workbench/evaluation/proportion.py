"""Intervals of shares that are counted, such as successes among samples."""

from scipy import stats

from .bootstrap import Estimate


def proportion(successes: int, trials: int, confidence: float = 0.95) -> Estimate:
    """A share with Wilson's score interval (1927), which stays inside 0 to 1 and is not empty at its ends."""
    if trials <= 0:
        return Estimate(float("nan"), float("nan"), float("nan"))
    share, z = successes / trials, float(stats.norm.ppf((1 + confidence) / 2))
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * (share * (1 - share) / trials + z**2 / (4 * trials**2)) ** 0.5
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))
