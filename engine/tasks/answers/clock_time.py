"""Parses times of day, e.g. `8:30 PM` and `8\\!:\\!30\\text{ p.m.}`. Independent of replies."""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.tasks.answers.latex import without_text

_TIME = re.compile(r"(?i)(?:at\s+)?(\d{1,2})\s?:\s?([0-5]\d)(?:\s?(a|p)\.?\s?m\.?|\s?(?:o['’]clock|hours|h))?")


class ClockTime(NamedTuple):
    """A time of day."""

    hour: int
    """As written, from 0 to 23."""
    minute: int
    half: str
    """`a`, `p`, or empty if the text does not say which half of the day it is."""

    def same(self, other: ClockTime) -> bool:
        """Check whether two times are equal; the half of the day is compared only if both say it."""
        if self.half and other.half and self.half != other.half:
            return False
        return self.minute == other.minute and (
            self.hour == other.hour
            if self.half == other.half
            else self.hour % 12 == other.hour % 12 and self._fits(other)
        )

    def _fits(self, other: ClockTime) -> bool:
        """Check that a time beyond twelve hours agrees with the half of the day of the other."""
        return (
            all(clock.hour <= 12 or (named.half in ("", "p")) for clock, named in ((self, other), (other, self)))
            and self.hour != 0 != other.hour
        )


def clock_time(text: str) -> ClockTime | None:
    """Parse a text as a time of day; None if it is none. `8:3` is none: the minutes have two digits."""
    match = _TIME.fullmatch(without_text(text).strip(" ."))
    if match is None or int(match.group(1)) > 23:
        return None
    return ClockTime(int(match.group(1)), int(match.group(2)), (match.group(3) or "").casefold())
