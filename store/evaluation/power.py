"""The smallest difference that a number of paired questions can show, and its words. Pure.

"Show" means that McNemar's test is significant at 5 % (two-sided) with a probability of 80 %. Source: Connor (1987),
Biometrics 43, 207-211, solved for the difference. It depends on the share of discordant pairs, those answered right by
only one of the two. The difference can't be larger than this share, so the share is raised to the difference if needed.
The formula is a normal approximation.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from store.evaluation.intervals import student_quantile

ASSUMED_DISCORDANT = 0.2
"""Share of discordant pairs that is assumed before anything is measured."""

FEWEST_PAIRS = 6
"""With fewer discordant pairs McNemar's exact test is never significant at 5 %."""

_Z_TEST = statistics.NormalDist().inv_cdf(0.975)
_Z_POWER = statistics.NormalDist().inv_cdf(0.8)


def smallest_difference(n: float, discordant: float = ASSUMED_DISCORDANT) -> float | None:
    """Return the smallest difference of paired shares that n pairs show with a probability of 80 %.

    Args:
        n: number of pairs; for a mean over tasks the effective number, see `effective_pairs`.
        discordant: expected share of discordant pairs, 0 to 1; for outcomes that are means over draws, the mean square
            of the changes.

    Returns:
        A share (0.13 is 13 percentage points), or None if n pairs can't show any difference.

    Raises:
        ValueError: for a negative n or a share outside 0 to 1.
    """
    if n < 0 or not 0 <= discordant <= 1:
        raise ValueError(f"{n} pairs with a discordant share of {discordant} can't be")

    def shows(difference: float) -> bool:
        share = max(discordant, difference)
        spread = _Z_TEST * math.sqrt(share) + _Z_POWER * math.sqrt(max(share - difference * difference, 0.0))
        return n * difference * difference >= spread * spread

    if n < FEWEST_PAIRS or not shows(1.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high


def effective_pairs(tasks: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the effective number of pairs of a mean over tasks of paired changes, and their discordant share.

    With tasks of the same size the effective number is the number of questions; a small task reduces it, since every
    task has the same weight. Without any changes both are 0.
    """
    filled = [changes for changes in tasks if changes]
    if not filled:
        return 0.0, 0.0
    n = len(filled) ** 2 / math.fsum(1 / len(changes) for changes in filled)
    squares = math.fsum(math.fsum(change * change for change in changes) / len(changes) ** 2 for changes in filled)
    return n, min(n * squares / len(filled) ** 2, 1.0)


def smallest_over_seeds(smallest: float | None, means: Sequence[float]) -> float | None:
    """Return the smallest difference that a mean over seeds shows, from that of its questions and the seeds' means.

    The part of the seeds is (t(0.975) + t(0.8)) times their standard error, at len(means) − 1 degrees of freedom; the
    parts are added in squares, as in `store.evaluation.intervals.over_seeds`. One seed leaves it unchanged; None if no
    difference up to 1 can be shown.
    """
    if smallest is None or len(means) < 2:
        return smallest
    freedom = len(means) - 1
    quantiles = student_quantile(0.975, freedom) + student_quantile(0.8, freedom)
    found = math.hypot(smallest, quantiles * statistics.stdev(means) / math.sqrt(len(means)))
    return found if found <= 1 else None


def shown_words(n: int, smallest: float | None) -> str:
    """Say which differences n questions show: `n = 57 shows differences of 13 points or more`.

    Args:
        n: number of questions.
        smallest: the smallest difference, from `smallest_difference`.
    """
    if n == 0:
        return "no question was answered by both"
    if smallest is None:
        return f"n = {n:,} is too small to show any difference"
    return f"n = {n:,} shows differences of {_points(smallest)} or more"


def no_difference_words(n: int, discordant: float | None = None) -> str:
    """Say that no difference was found, always with the smallest difference that n paired questions show.

    Args:
        n: number of questions answered by both.
        discordant: share of discordant pairs that was measured; without it, `ASSUMED_DISCORDANT` is assumed and stated.
    """
    return f"no difference shown; {power_words(n, discordant)}"


def power_words(n: int, discordant: float | None = None) -> str:
    """Say which differences n paired questions show; the discordant share is stated if it is assumed."""
    share = ASSUMED_DISCORDANT if discordant is None else discordant
    words = shown_words(n, smallest_difference(n, share))
    if discordant is not None or n == 0:
        return words
    return f"{words}, if {100 * share:.0f} % of the questions are answered right by only one of the two"


def _points(difference: float) -> str:
    points = 100 * difference
    text = f"{points:.0f}" if points >= 9.95 else f"{points:.1f}"
    return "1 point" if text == "1.0" else f"{text} points"
