"""Rate limit for displays that change faster than anybody reads: over SSH each change costs bytes. No widgets."""

from __future__ import annotations

import time
from collections.abc import Callable


class Throttle:
    """Allows an action immediately, and then at most once per `seconds`."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last: float | None = None

    def due(self, *, urgent: bool = False) -> bool:
        """Return whether the action is allowed now, or `urgent`; if so, restart the interval."""
        now = self._clock()
        if not urgent and self._last is not None and now - self._last < self._seconds:
            return False
        self._last = now
        return True
