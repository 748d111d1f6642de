"""Chooses the one sentence that a control measurement allows, from its three primary differences. Pure.

In this order, where "above" and "below" mean that the entire 95 % interval of a difference is above or below 0:

1. `below-guessing`: own − floor is below 0.
2. `helps`: own − shuffled and own − floor are above 0, and the share right of `own` is larger than that of `none`. If
   own − none is not above 0 itself, the sentence adds it.
3. `asked-again`: own − floor is above 0, and a benefit of the content of 10 points is excluded. The upper end of
   own − shuffled (or of own − none, where `own` is not better than `none`) is below 10 points, and the questions could
   have shown a difference of that size.
4. `cannot-tell`: everything else, with the smallest difference that the questions can show.

`helps` needs several intervals above 0 at once, so that its error rate is at most that of one (intersection-union
test); the p values corrected by Holm's method stand beside it. McNemar's exact test needs six discordant pairs, so
that with fewer questions nothing is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from store.evaluation.power import FEWEST_PAIRS, shown_words

Conclusion = Literal["helps", "asked-again", "below-guessing", "cannot-tell"]

RELEVANT_DIFFERENCE = 0.10
"""Benefit of the content that must be excluded before the content is said not to help."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """A paired difference with its 95 % interval over n questions, and the smallest difference that these show."""

    value: float
    low: float
    high: float
    n: int
    smallest: float | None

    @property
    def above(self) -> bool:
        """Whether the entire interval is above 0."""
        return self.low > 0 and self.n >= FEWEST_PAIRS

    @property
    def below(self) -> bool:
        """Whether the entire interval is below 0."""
        return self.high < 0 and self.n >= FEWEST_PAIRS

    @property
    def excludes_benefit(self) -> bool:
        """Whether a benefit of `RELEVANT_DIFFERENCE` is excluded and could have been shown."""
        possible = self.smallest is not None and self.smallest <= RELEVANT_DIFFERENCE
        return possible and self.high < RELEVANT_DIFFERENCE

    @property
    def words(self) -> str:
        """The differences that the questions show, in words."""
        return shown_words(self.n, self.smallest)


def conclude(
    *, shuffled: Contrast | None, none: Contrast | None, floor: Contrast | None, reason: str = ""
) -> tuple[Conclusion, str]:
    """Return the conclusion and its sentence; see the rule above.

    Args:
        shuffled: own − shuffled; None if there is nothing to compare, as for the others.
        none: own − none.
        floor: own − floor.
        reason: why a difference is missing.
    """
    if floor is not None and floor.below:
        return "below-guessing", "below guessing another answer"
    if floor is None or shuffled is None or none is None:
        return "cannot-tell", f"can't tell: {reason or 'a control was not measured'}"
    if not floor.above:
        undecided = shuffled if not shuffled.above else floor
        beside = "" if not shuffled.above else "not shown to be above guessing another answer, "
        return "cannot-tell", f"can't tell: {beside}{undecided.words}"
    if shuffled.above and none.value > 0:
        return "helps", "what the reflections say helps" + ("" if none.above else _beside_none(none))
    if shuffled.excludes_benefit or (none.value <= 0 and none.excludes_benefit):
        decided = shuffled if shuffled.excludes_benefit else none
        return "asked-again", f"being asked again helps, what they say does not: {decided.words}"
    return "cannot-tell", f"can't tell: {(none if shuffled.above else shuffled).words}"


def _beside_none(none: Contrast) -> str:
    return f"; a benefit over being asked again is not shown: {none.words}"
