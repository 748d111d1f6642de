"""Detects a process that makes no progress, and computes the delay before a job is retried.

Knows progress marks and seconds, not what the marks consist of.
"""

from __future__ import annotations

_FIRST_PAUSE = 2.0
_LONGEST_PAUSE = 60.0


class ProgressWatch:
    """Measures how long a progress mark has stayed the same."""

    def __init__(self) -> None:
        self._mark: object = None
        self._since: float | None = None

    def silent_for(self, mark: object, now: float) -> float:
        """Return the seconds since the mark last changed."""
        if self._since is None or mark != self._mark:
            self._mark, self._since = mark, now
        return now - self._since

    def excuse(self) -> None:
        """Restart the measurement, because there was a reason for no progress, e.g. a pause."""
        self._since = None


class Patience:
    """Backoff for a job that a disk or database prevented: 2 s, doubled after each attempt up to 60 s."""

    def __init__(self) -> None:
        self._tries = 0
        self._until = 0.0

    def held(self, now: float) -> None:
        """Record that the job was prevented at this moment."""
        self._until = now + min(_FIRST_PAUSE * 2**self._tries, _LONGEST_PAUSE)
        self._tries += 1

    def over(self, now: float) -> bool:
        """Check whether it is time to try again."""
        return now >= self._until

    def forget(self) -> None:
        """Reset the backoff after a success."""
        self._tries, self._until = 0, 0.0
