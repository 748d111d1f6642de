"""Confidence intervals and tests of shares and means, used by the engine's metrics and the terminal's estimates.

Pure functions on numbers, with the standard library only, and the format of a p value. Every interval is a 95 %
interval. A bootstrap interval is a percentile interval whose ends are order statistics of the sorted resampled means
m[0] … m[R−1]: the low end is m[⌊0.025 (R−1)⌋], the high end m[⌈0.975 (R−1)⌉]. Because of the outward rounding it is
never narrower than the interpolated interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

_Z = statistics.NormalDist().inv_cdf(0.975)

RESAMPLES = 2000
"""Number of resamples of a bootstrap."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """Return Wilson's 95 % score interval of a share; 0 to 1 if n is 0.

    Raises:
        ValueError: for impossible counts.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} can't be")
    if n == 0:
        return Interval(0.0, 1.0)
    return wilson_share(successes / n, n)


def wilson_share(share: float, n: float) -> Interval:
    """Return Wilson's 95 % score interval of a (weighted) share at an (effective) sample size.

    Raises:
        ValueError: for n ≤ 0 or a share outside 0 to 1.
    """
    if not 0.0 <= share <= 1.0 or n <= 0:
        raise ValueError(f"a share of {share} at a sample size of {n} can't be")
    centre = share + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    low = 0.0 if share == 0 else (centre - spread) / scale
    high = 1.0 if share == 1 else (centre + spread) / scale
    return Interval(low, high)


def mcnemar_exact(b: int, c: int) -> float:
    """Return the exact two-sided p value of McNemar's test for b and c discordant pairs; 1 without any."""
    n = b + c
    tail = sum(math.comb(n, k) for k in range(min(b, c) + 1))
    return min(1.0, 2 * tail / (1 << n))


def bootstrap_mean(values: Sequence[float], seed: int, resamples: int = RESAMPLES) -> Interval:
    """Return the percentile bootstrap interval of a mean, resampling values with replacement.

    For paired outcomes, pass the differences of the pairs.

    Raises:
        ValueError: without values.
    """
    return bootstrap_mean_over_groups([values], seed, resamples)


def bootstrap_mean_over_groups(groups: Sequence[Sequence[float]], seed: int, resamples: int = RESAMPLES) -> Interval:
    """Return the percentile bootstrap interval of the mean of group means, resampling values within each group.

    Raises:
        ValueError: without groups, or for an empty group.
    """
    if not groups or not all(groups):
        raise ValueError("a bootstrap needs at least one value in every group")
    if all(len(set(group)) == 1 for group in groups):
        still = sum(group[0] for group in groups) / len(groups)
        return Interval(still, still)
    random = Random(seed)

    def draw() -> float:
        return sum(sum(random.choices(group, k=len(group))) / len(group) for group in groups) / len(groups)

    return _percentile_interval(draw, resamples)


def p_words(p: float) -> str:
    """Format a p value with its relation, `= 0.54` or `< 0.001`; it is never rounded to 0."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"


def _percentile_interval(draw: Callable[[], float], resamples: int) -> Interval:
    means = sorted(draw() for _ in range(resamples))
    last = resamples - 1
    return Interval(means[math.floor(0.025 * last)], means[math.ceil(0.975 * last)])
