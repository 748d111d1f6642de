"""Holds back what changes faster than anybody reads, because over SSH each change costs bytes. Knows no widgets."""

from __future__ import annotations

import time
from collections.abc import Callable


class Throttle:
    """Lets something happen at once, and then not again for so many seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._last: float | None = None

    def due(self, *, urgent: bool = False) -> bool:
        """True when it may happen now, or must; then the time counts from now."""
        now = self._clock()
        if not urgent and self._last is not None and now - self._last < self._seconds:
            return False
        self._last = now
        return True
