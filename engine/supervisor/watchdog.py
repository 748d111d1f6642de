"""Tells a process that makes no progress from one that is slow, and how long a held-up job is left alone.

Knows marks and seconds, nothing of what the marks are made of.
"""

from __future__ import annotations

_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 60.0


class ProgressWatch:
    """How long a mark that should change has stayed the same."""

    def __init__(self) -> None:
        self._mark: object = None
        self._since: float | None = None

    def silent_for(self, mark: object, now: float) -> float:
        """Seconds since the mark last differed."""
        if self._since is None or mark != self._mark:
            self._mark, self._since = mark, now
        return now - self._since

    def excuse(self) -> None:
        """Begin anew: there was a reason for standing still, e.g. a pause."""
        self._since = None


class Patience:
    """When an job that a disk or database held up is tried again: after 2 s, then ever later, up to 60 s."""

    def __init__(self) -> None:
        self._tries = 0
        self._until = 0.0

    def held(self, now: float) -> None:
        """It was held up at this moment."""
        self._until = now + min(_FIRST_PAUSE * 2**self._tries, _LONGEST_PAUSE)
        self._tries += 1

    def over(self, now: float) -> bool:
        """Whether it is time to try again."""
        return now >= self._until

    def forget(self) -> None:
        """It went through."""
        self._tries, self._until = 0, 0.0
