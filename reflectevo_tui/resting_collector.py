"""Python's full garbage collections wait until the operator's hands rest.

One takes 50 to 200 ms on the tree of widgets (measured), which is longer than a key may take, and allocations start one
every few seconds of typing. Here they come by themselves only ten times as rarely, so that memory stays bounded
whatever happens, and are done between two keys instead. What is there once every module is loaded is exempt from
them: it stays to the end. Belongs to the process: for the program, not for applications inside a test.
"""

from __future__ import annotations

import gc
import sys

YOUNG, MIDDLE, RARE = 1000, 10, 100
"""Thresholds of the three generations: Python's own are 700, 10, 10."""

DUE = 10
"""Collections of the middle generation after which a full one is worth its time."""

REST_SECONDS = 3.0
"""Hands that did nothing for so long probably go on doing nothing for the time of a collection."""

SWITCH_SECONDS = 0.001
"""How long a background thread may compute before the one that paints gets its turn; Python's own is 5 ms."""


class RestingCollector:
    """Made before the application's modules are imported, because collecting between imports is time for nothing."""

    def __init__(self) -> None:
        gc.disable()
        self._standing = False

    def stand(self) -> None:
        """The application stands: collect from here on, nothing of what is there by now."""
        if self._standing:
            return
        self._standing = True
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, RARE)
        gc.enable()
        sys.setswitchinterval(SWITCH_SECONDS)

    def rest(self, seconds: float) -> bool:
        """Collect if it is due and nothing was pressed for so many seconds; true when it was done."""
        if not self._standing or seconds < REST_SECONDS or gc.get_count()[2] < DUE:
            return False
        gc.collect()
        return True
