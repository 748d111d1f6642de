"""Confidence intervals and tests of shares, means and paired differences, with the format of a p value.

Pure functions on numbers, with the standard library only. Every interval is a 95 % interval; shares and differences of
shares are given as shares (1 is 100 percentage points).

Shares have Wilson's score interval, differences of paired shares Tango's. Neither has zero width for any n > 0. A mean
over tasks combines the intervals of the tasks, and several seeds are a level of their own (`over_seeds`). Means of
unbounded quantities (tokens) have Student's interval.

Sources:
    Wilson (1927), JASA 22, 209-212: the score interval of a share.
    Tango (1998), Statistics in Medicine 17, 891-908: the score interval of a difference of paired shares.
    Newcombe (1998), Statistics in Medicine 17, 873-890; Zou and Donner (2008), Statistics in Medicine 27, 1693-1702:
        combination of the intervals of independent estimates ("square and add", MOVER).
    Hesterberg (2015), The American Statistician 69, 371-386, section 4: bootstrap intervals of few values are too
        narrow.
    Holm (1979), Scandinavian Journal of Statistics 6, 65-70: correction for several comparisons.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

_NORMAL = statistics.NormalDist()
_Z = _NORMAL.inv_cdf(0.975)

PERMUTATIONS = 10_000
"""Number of sign assignments that are drawn, and the most that are enumerated, in a sign-flip test."""


@dataclass(frozen=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float

    @property
    def above_zero(self) -> bool:
        """Whether the entire interval is above 0."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the entire interval is below 0."""
        return self.high < 0


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


def paired_score(gained: float, lost: float, n: int) -> Interval:
    """Return Tango's 95 % score interval of a difference of paired shares, (gained − lost) / n; −1 to 1 if n is 0.

    Args:
        gained: number of pairs where only the second outcome is right.
        lost: number of pairs where only the first outcome is right. Both may be fractions, see `paired_changes`.
        n: number of pairs.

    Raises:
        ValueError: for impossible counts.
    """
    if gained < 0 or lost < 0 or gained + lost > n + 1e-9:
        raise ValueError(f"{gained} gained and {lost} lost of {n} pairs can't be")
    if n == 0:
        return Interval(-1.0, 1.0)
    return Interval(_tango_low(gained, lost, n), -_tango_low(lost, gained, n))


def paired_changes(changes: Sequence[float]) -> Interval:
    """Return the paired score interval of a mean of changes between −1 and 1; −1 to 1 without any.

    A change is the difference of two outcomes of one question, which may also be means over draws or probabilities. The
    interval is that of the numbers of gained and lost pairs with the same mean and mean square as the changes, or with
    a larger mean square where one number would be negative. For outcomes of 0 and 1 it is that of `paired_score`.

    Raises:
        ValueError: for a change outside −1 to 1.
    """
    if any(abs(change) > 1 + 1e-9 for change in changes):
        raise ValueError("a change of an outcome is between -1 and 1")
    total, squares = math.fsum(changes), math.fsum(change * change for change in changes)
    squares = min(max(squares, abs(total)), float(len(changes)))
    return paired_score(max((squares + total) / 2, 0.0), max((squares - total) / 2, 0.0), len(changes))


def mean_of_parts(parts: Sequence[tuple[float, Interval]]) -> Interval:
    """Return the interval of the unweighted mean of independent estimates, each given with its own interval.

    The distances of each end from its estimate are squared and added (Newcombe 1998, method 10; Zou and Donner 2008).

    Raises:
        ValueError: without parts.
    """
    if not parts:
        raise ValueError("a mean needs at least one part")
    value = math.fsum(value for value, _ in parts) / len(parts)
    below = math.sqrt(math.fsum((value - interval.low) ** 2 for value, interval in parts)) / len(parts)
    above = math.sqrt(math.fsum((interval.high - value) ** 2 for value, interval in parts)) / len(parts)
    return Interval(value - below, value + above)


def mean_share_over_tasks(tasks: Sequence[Sequence[float]]) -> Interval:
    """Return the interval of the mean over tasks of shares, from the outcomes (0 to 1) of each task's questions.

    Every task has the same weight; Wilson's intervals of the tasks are combined, see `mean_of_parts`.

    Raises:
        ValueError: without tasks, or for a task without outcomes.
    """
    return mean_of_parts([(mean, wilson_share(min(mean, 1.0), len(one))) for one, mean in _means(tasks)])


def mean_change_over_tasks(tasks: Sequence[Sequence[float]]) -> Interval:
    """Return the interval of the mean over tasks of paired changes (−1 to 1), see `paired_changes`.

    Every task has the same weight.

    Raises:
        ValueError: without tasks, or for a task without changes.
    """
    return mean_of_parts([(mean, paired_changes(one)) for one, mean in _means(tasks)])


def over_seeds(questions: Interval, means: Sequence[float]) -> Interval:
    """Return the interval of a mean over seeds and questions, where both are samples (crossed).

    The variance between seeds enters with Student's t at len(means) − 1 degrees of freedom, and its distance from the
    mean is added to that of the questions in squares (Zou and Donner 2008). A bootstrap is too narrow for few seeds,
    because a resample of S seeds has (S − 1) / S of their variance and ignores that it is estimated (Hesterberg 2015):
    with three seeds it can't reach beyond the largest and the smallest, which hold the true mean between them in 75 of
    100 cases.

    Args:
        questions: the interval over questions of the outcomes averaged over seeds.
        means: the mean of each seed over the same questions. One seed says nothing about the variance between seeds;
            `questions` is then returned unchanged.
    """
    if len(means) < 2:
        return questions
    value = statistics.fmean(means)
    seeds = student_quantile(0.975, len(means) - 1) * statistics.stdev(means) / math.sqrt(len(means))
    return Interval(value - math.hypot(value - questions.low, seeds), value + math.hypot(questions.high - value, seeds))


def p_over_seeds(questions: Interval, means: Sequence[float]) -> float:
    """Return the two-sided p value that belongs to `over_seeds`: the level at which its interval just reaches 0.

    Args:
        questions: the 95 % interval over questions of a difference averaged over seeds.
        means: the difference of each seed over the same questions; at least two.
    """
    value, freedom = statistics.fmean(means), len(means) - 1
    across = abs((value - questions.low if value > 0 else questions.high - value) / _Z)
    seeds = statistics.stdev(means) / math.sqrt(len(means))

    def reaches(p: float) -> bool:
        t = student_quantile(1 - p / 2, freedom) if seeds else 0.0
        return math.hypot(across * _NORMAL.inv_cdf(1 - p / 2), seeds * t) >= abs(value)

    low, high = 1e-9, 1.0
    if not reaches(low):
        return low
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if reaches(middle) else (low, middle)
    return high


def mcnemar_exact(b: int, c: int) -> float:
    """Return the exact two-sided p value of McNemar's test for b and c discordant pairs; 1 without any."""
    n = b + c
    tail = sum(math.comb(n, k) for k in range(min(b, c) + 1))
    return min(1.0, 2 * tail / (1 << n))


def sign_flip(tasks: Sequence[Sequence[float]], seed: int, permutations: int = PERMUTATIONS) -> float:
    """Return the two-sided p value of a mean over tasks of paired changes, by a sign-flip permutation test.

    If the two outcomes of a question are exchangeable, the sign of each change is equally often either. All assignments
    of signs are enumerated when there are at most `permutations` different ones; otherwise that many are drawn, and the
    p value is (1 + as extreme) / (1 + drawn).

    Args:
        tasks: changes of each task's questions; every task has the same weight, empty tasks are ignored.
        seed: random seed of the drawn assignments.
        permutations: number of assignments to draw.
    """
    sizes: Counter[float] = Counter()
    observed = 0.0
    for changes in tasks:
        observed += math.fsum(changes) / max(len(changes), 1)
        sizes.update(round(abs(change) / len(changes), 12) for change in changes if change)
    extreme = abs(observed) - 1e-9
    ways = math.prod(number + 1 for number in sizes.values())
    if ways <= permutations:
        return _enumerated(sizes, extreme)
    random, drawn = Random(seed), list(sizes.items())
    found = sum(
        abs(math.fsum(size * (2 * random.getrandbits(number).bit_count() - number) for size, number in drawn))
        >= extreme
        for _ in range(permutations)
    )
    return (1 + found) / (1 + permutations)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p values adjusted for their number by Holm's step-down method, by name, in the given order."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def student_mean(values: Sequence[float]) -> Interval | None:
    """Return Student's 95 % interval of a mean of unbounded values, such as tokens; None for fewer than two.

    For shares and scores between 0 and 1 use `wilson_share`, for differences of shares `paired_changes`.
    """
    if len(values) < 2:
        return None
    spread = student_quantile(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.fmean(values)
    return Interval(mean - spread, mean + spread)


@functools.lru_cache(maxsize=256)
def student_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t distribution at a probability from 0.5 and at least 1 degree of freedom."""
    return -_falls_to(lambda t: _student_cdf(-t, freedom), probability, -1000.0, 0.0)


def p_words(p: float) -> str:
    """Format a p value with its relation, `= 0.54` or `< 0.001`; it is never rounded to 0."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"


def _means(tasks: Sequence[Sequence[float]]) -> list[tuple[Sequence[float], float]]:
    if not tasks or not all(tasks):
        raise ValueError("a mean over tasks needs at least one outcome in every task")
    return [(one, math.fsum(one) / len(one)) for one in tasks]


def _tango_low(gained: float, lost: float, n: int) -> float:
    """The low end: where the score statistic of the difference falls to the normal quantile."""
    low, high = -1.0, (gained - lost) / n

    def statistic(difference: float) -> float:
        # The share of lost pairs is estimated under the hypothesis that the difference is `difference` (Tango 1998, 3).
        linear = (2 * n - gained + lost) * difference - gained - lost
        root = linear * linear + 8 * n * lost * difference * (1 - difference)
        share_lost = (math.sqrt(max(root, 0.0)) - linear) / (4 * n)
        variance = n * (2 * share_lost + difference * (1 - difference))
        return math.inf if variance <= 0 else (gained - lost - n * difference) / math.sqrt(variance)

    return _falls_to(statistic, _Z, low, high)


def _student_cdf(t: float, freedom: int) -> float:
    """The distribution function for t ≥ 0 (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, term, total = math.cos(angle), 1.0, 0.0
    odd = freedom % 2 == 1
    for k in range(1 if odd else 0, freedom - 1, 2):
        if k > 1:
            term *= (k - 1) / k * cosine * cosine
        elif k == 1:
            term = cosine
        total += term
    if odd:
        return 0.5 + (angle + math.sin(angle) * total) / math.pi
    return 0.5 + math.sin(angle) * total / 2


def _falls_to(function: Callable[[float], float], level: float, low: float, high: float) -> float:
    """Where a falling function reaches a level between two places, by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > level else (low, middle)
    return (low + high) / 2


def _enumerated(sizes: Mapping[float, int], extreme: float) -> float:
    """The share of sign assignments whose sum is as extreme; equal sizes are counted together."""
    as_extreme = 0
    for positive in product(*(range(number + 1) for number in sizes.values())):
        total, ways = 0.0, 1
        for (size, number), count in zip(sizes.items(), positive, strict=True):
            total += size * (2 * count - number)
            ways *= math.comb(number, count)
        if abs(total) >= extreme:
            as_extreme += ways
    return as_extreme / (1 << sum(sizes.values()))
