"""Python's full garbage collections wait until the operator's hands rest.

One takes 50 to 300 ms on the tree of widgets (measured), which is longer than a key may take, and allocations start one
every few seconds of typing. Here they come by themselves only ten times as rarely, so that memory stays bounded
whatever happens, and are done between two keys instead. They are made short: what outlived one is let off by the next
ones, until hands that rest for long leave time to look through everything. Belongs to the process: for the program, not
for applications inside a test.
"""

from __future__ import annotations

import gc
import sys

YOUNG, MIDDLE, RARE = 1000, 10, 100
"""Thresholds of the three generations: Python's own are 700, 10, 10."""

DUE = 5
"""Collections of the middle generation after which a full one is worth its time."""

REST_SECONDS = 0.25
"""Hands that did nothing for so long have seen what they asked for, and one collection more is over before they ask
again, or soon after."""

LONG_REST_SECONDS = 60.0
"""Nobody is there."""

LET_OFF = 20
"""So many short collections in a row let something off that may be garbage by now."""

SWITCH_SECONDS = 0.001
"""How long a background thread may compute before the one that paints gets its turn; Python's own is 5 ms."""


class IdleCollector:
    """Made before the application's modules are imported, because collecting between imports is time for nothing."""

    def __init__(self) -> None:
        gc.disable()
        self._standing = False
        self._short = 0

    def stand(self) -> None:
        """The application stands: collect from here on, nothing of what is there by now."""
        if self._standing:
            return
        self._standing = True
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, RARE)
        gc.enable()
        sys.setswitchinterval(SWITCH_SECONDS)

    def rest(self, seconds: float, settled: bool = True) -> bool:
        """Collect if it is due and nothing was pressed for so many seconds; true when it was done.

        What is there is let off by later collections only while the screens are `settled`: a dialog that is open will
        be garbage soon.
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
