"""Distinguishes a slow process from one that hangs, by its CPU time.

On a loaded machine every start and every reply takes many times as long; a deadline would report both as failed.
"""

from __future__ import annotations

import time

_LOOK_SECONDS = 1.0
"""Interval between measurements, in seconds."""

_WORKING_SHARE = 0.01
"""Share of a core above which a process counts as working; one that only waits and polls stays below it."""


class StallDetector:
    """Monitors the CPU time of a process and its descendants.

    Args:
        pid: id of the process.
        seconds: time without CPU use, beyond that of waiting, after which the process is stalled.
    """

    def __init__(self, pid: int, seconds: float) -> None:
        self._pid = pid
        self._seconds = seconds
        self._worked = self._looked = time.monotonic()
        self._used = 0.0

    def stalled(self) -> bool:
        """Check whether the process has not worked for `seconds`. Cheap enough for every iteration of a loop."""
        now = time.monotonic()
        if now - self._looked >= min(_LOOK_SECONDS, self._seconds):
            self._looked = now
            used = _cpu_seconds(self._pid)
            # The sum decreases when a child process ends, which is progress too.
            if abs(used - self._used) >= _WORKING_SHARE * self._seconds:
                self._used, self._worked = used, now
        return now - self._worked >= self._seconds


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its children in seconds; 0.0 when it is gone."""
    # Imported only when something takes longer than a second, to keep it out of a normal start.
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
