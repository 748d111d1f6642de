"""Runs Python's full garbage collections while the operator is idle.

A full collection takes 50 to 300 ms on the widget tree (measured), more than the latency budget of a key, and
allocations trigger one every few seconds of typing. Here automatic full collections are ten times as rare, so that
memory stays bounded in any case, and collections run between two keys instead. They are kept short by freezing the
survivors (`gc.freeze`) until a long idle period leaves time for a complete collection. The state is that of the
process: for the program, not for applications inside a test.
"""

from __future__ import annotations

import gc
import sys

YOUNG, MIDDLE, RARE = 1000, 10, 100
"""Thresholds of the three generations; Python's defaults are 700, 10, 10."""

DUE = 5
"""Number of collections of the middle generation after which a full one is worthwhile."""

REST_SECONDS = 0.25
"""Idle time in seconds before a collection: the response to the last key has been shown, and the collection ends
before the next key or soon after it."""

LONG_REST_SECONDS = 60.0
"""Idle time in seconds after which the operator is assumed to be away."""

LET_OFF = 20
"""Number of short collections after which the frozen objects can contain garbage worth collecting."""

SWITCH_SECONDS = 0.001
"""Thread switch interval in seconds, so that background threads delay painting less; Python's default is 5 ms."""


class IdleCollector:
    """Garbage collection of an interactive process.

    Create it before the application's modules are imported, since collections between imports are wasted time.
    """

    def __init__(self) -> None:
        gc.disable()
        self._standing = False
        self._short = 0

    def stand(self) -> None:
        """Freeze all objects that exist now, and start collecting; called once the application is loaded."""
        if self._standing:
            return
        self._standing = True
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, RARE)
        gc.enable()
        sys.setswitchinterval(SWITCH_SECONDS)

    def rest(self, seconds: float, settled: bool = True) -> bool:
        """Collect if a collection is due after `seconds` without a key; return whether it ran.

        The survivors are frozen only while the screens are `settled`: an open dialog will soon be garbage.
        """
        if not self._standing or seconds < REST_SECONDS or gc.get_count()[2] < DUE:
            return False
        self._short += 1
        if seconds >= LONG_REST_SECONDS and self._short >= LET_OFF:
            gc.unfreeze()
            self._short = 0
        gc.collect()
        if settled:
            gc.freeze()
        return True
