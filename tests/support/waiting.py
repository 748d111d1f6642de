"""Waits that end by progress: a wait fails when there is no progress any more, however long it takes in total.

A machine under ten times the usual load makes every step ten times slower but none of them wrong. A deadline on the
total would turn that into a failure; `STALL_SECONDS` without any change does not.
"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

STALL_SECONDS = 120.0
"""Seconds without any change before a wait fails. The awaited steps take seconds on an idle machine."""

_POLLING_SHARE = 0.1
"""Share of a core that evaluating a condition may use: what is awaited needs the cores."""

_LOOK_SECONDS = 1.0
"""Seconds between checks of the progress; reading it costs more than evaluating the condition."""


class Patience:
    """Detects when progress stops, or only alternates between known values.

    Args:
        progress: returns a new value, never seen before in this wait, whenever the awaited work has progressed; by
        default nothing counts as progress, and `STALL_SECONDS` limit the whole wait.
    """

    def __init__(self, progress: Callable[[], object] = lambda: None) -> None:
        self._progress = progress
        self._seen = {repr(progress())}
        self._changed = self._looked = time.monotonic()

    def exhausted(self) -> bool:
        """Check whether no new value has come for `STALL_SECONDS`."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            if (found := repr(self._progress())) not in self._seen:
                self._seen.add(found)
                self._changed = now
        return now - self._changed > STALL_SECONDS


def wait_until(
    condition: Callable[[], object],
    progress: Callable[[], object] = lambda: None,
    describe: Callable[[], object] = lambda: "",
    every: float = 0.02,
) -> None:
    """Wait until a condition holds.

    Args:
        condition: evaluated every `every` seconds, less often if it is expensive.
        progress: see `Patience`.
        describe: returns a description of the current state for the failure message.

    Raises:
        AssertionError: if nothing has changed for `STALL_SECONDS`.
    """
    patience = Patience(progress)
    while True:
        started = time.thread_time()
        if condition():
            return
        if patience.exhausted():
            raise AssertionError(f"nothing has changed for {STALL_SECONDS:.0f} s: {describe()}")
        time.sleep(max(every, (time.thread_time() - started) / _POLLING_SHARE))


def words(shown: str | bytes | bytearray) -> object:
    """Return the words on a terminal as its progress; clocks and counters that only tick are excluded."""
    text = shown if isinstance(shown, str) else bytes(shown).decode("utf-8", "replace")
    return sorted(set(re.findall(r"[^\W\d_]{2,}", text)))


def cpu_seconds(pids: Iterable[int], step: float = 1.0) -> tuple[int, ...]:
    """Return the CPU time of processes and their descendants, in whole steps of `step` seconds, as their progress.

    A process that only polls for work uses less than a step in `STALL_SECONDS`.
    """
    used = 0.0
    found: set[int] = set()
    for pid in pids:
        try:
            root = psutil.Process(pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            continue
        for process in tree:
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            if process.pid not in found:
                found.add(process.pid)
                used += times.user + times.system
    return (int(used / step), *sorted(found))


def wait_for_exit(process: subprocess.Popen[Any]) -> int:
    """Return the exit code of a process, waiting as long as it uses CPU time. Its output must not be a pipe that fills
    up.
    """
    wait_until(lambda: process.poll() is not None, lambda: cpu_seconds([process.pid]), lambda: process.args)
    return int(process.returncode)


def communicate(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return the output of a process, waiting as long as it uses CPU time. Kills it when it stops doing so."""
    patience = Patience(lambda: cpu_seconds([process.pid]))
    while True:
        try:
            return process.communicate(timeout=_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if patience.exhausted():
                process.kill()
                printed, said = process.communicate()
                raise AssertionError(f"{process.args} stands still; it printed {printed!r} {said!r}") from None


def run(command: Sequence[str | Path], *, check: bool = False, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command like `subprocess.run` with captured text, waiting as long as the process uses CPU time."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        printed, said = communicate(process)
    finished = subprocess.CompletedProcess(process.args, process.returncode, printed, said)
    if check and process.returncode:
        print(printed, said, file=sys.stderr)
        finished.check_returncode()
    return finished


def read_until(terminal: int, *wanted: bytes) -> bytes:
    """Read a pseudo-terminal until one of some texts appears, it is closed, or no new word arrives."""
    seen = bytearray()
    patience = Patience(lambda: words(seen))
    while not any(text in seen for text in wanted) and not patience.exhausted():
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    return bytes(seen)
