"""Intervals and tests of shares, for the engine's metrics and the terminal's estimates alike.

Standard library only: numbers in, numbers out. Every interval is a 95 % interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

_Z = statistics.NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


def wilson(successes: int, n: int) -> Interval:
    """Wilson's 95 % score interval of a share; 0 to 1 when n is 0. Raises ValueError for impossible counts."""
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} can't be")
    if n == 0:
        return Interval(0.0, 1.0)
    return wilson_share(successes / n, n)


def wilson_share(share: float, n: float) -> Interval:
    """Wilson's 95 % score interval of a weighted share at an effective sample size; raises ValueError for n ≤ 0 or a
    share that isn't one."""
    if not 0.0 <= share <= 1.0 or n <= 0:
        raise ValueError(f"a share of {share} at a sample size of {n} can't be")
    centre = share + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    scale = 1 + _Z**2 / n
    low = 0.0 if share == 0 else (centre - spread) / scale
    high = 1.0 if share == 1 else (centre + spread) / scale
    return Interval(low, high)


def mcnemar_exact(b: int, c: int) -> float:
    """McNemar's exact two-sided p for b flips one way and c the other; 1 without flips."""
    n = b + c
    tail = sum(math.comb(n, k) for k in range(min(b, c) + 1))
    return min(1.0, 2 * tail / (1 << n))


def bootstrap_difference(pairs: Sequence[tuple[int, int]], seed: int, resamples: int = 2000) -> Interval:
    """The 95 % percentile bootstrap interval of mean(second) − mean(first) over paired 0/1 outcomes.

    Questions are drawn with replacement, pairs kept together. Raises ValueError without pairs.
    """
    if not pairs:
        raise ValueError("a bootstrap needs at least one pair")
    differences = [second - first for first, second in pairs]
    if len(set(differences)) == 1:
        return Interval(float(differences[0]), float(differences[0]))
    random = Random(seed)
    count = len(differences)
    means = sorted(sum(random.choices(differences, k=count)) / count for _ in range(resamples))
    last = resamples - 1
    return Interval(means[math.floor(0.025 * last)], means[math.ceil(0.975 * last)])
