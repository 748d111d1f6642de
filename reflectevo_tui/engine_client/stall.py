"""Tells a process that is slow from one that hangs, by the CPU time it uses.

On a loaded machine every start and every answer takes many times as long; a deadline would report both as failed.
"""

from __future__ import annotations

import time

_LOOK_SECONDS = 1.0
"""How often the processes are looked at."""

_WORKING_SHARE = 0.01
"""Share of a core above which a process works; one that only waits and looks around now and then stays below it."""


class StallDetector:
    """Watches a process and all below it.

    Args:
        pid: the process.
        seconds: how long it may use no CPU time, but for what waiting costs, before it is stalled.
    """

    def __init__(self, pid: int, seconds: float) -> None:
        self._pid = pid
        self._seconds = seconds
        self._worked = self._looked = time.monotonic()
        self._used = 0.0

    def stalled(self) -> bool:
        """Whether the process has not worked for so many seconds. Cheap enough to be asked in every turn of a loop."""
        now = time.monotonic()
        if now - self._looked >= min(_LOOK_SECONDS, self._seconds):
            self._looked = now
            used = _cpu_seconds(self._pid)
            # It falls when a child ends, which is progress too.
            if abs(used - self._used) >= _WORKING_SHARE * self._seconds:
                self._used, self._worked = used, now
        return now - self._worked >= self._seconds


def _cpu_seconds(pid: int) -> float:
    """CPU time that a process and its children used; 0.0 when it is gone."""
    # Imported only when something takes longer than a second: a terminal that starts has no use for it.
    import psutil

    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.Error:
        return 0.0
    used = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        used += times.user + times.system
    return used
