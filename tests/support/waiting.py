"""Waits that end by progress: a wait fails when what it waits for stands still, however long the whole takes.

A machine under ten times the usual load makes every step ten times slower and none of them wrong. A deadline on the
whole would turn that into a failure; `STALL_SECONDS` without any change does not.
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
"""How long nothing may change before a wait fails. Steps that are waited for take seconds on an idle machine."""

_LOOK_SECONDS = 1.0
"""How often progress is looked at; looking costs more than asking for the condition."""


class Patience:
    """Notices when something stands still, or only goes back and forth.

    Args:
        progress: returns a value that is a new one whenever what is waited for has moved, never seen in this wait
            before; by default nothing counts as progress, and `STALL_SECONDS` limit the whole wait.
    """

    def __init__(self, progress: Callable[[], object] = lambda: None) -> None:
        self._progress = progress
        self._seen = {repr(progress())}
        self._changed = self._looked = time.monotonic()

    def exhausted(self) -> bool:
        """Whether nothing new has come for `STALL_SECONDS`."""
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
        condition: asked every `every` seconds.
        progress: see `Patience`.
        describe: what the message of a failure says about the state things are in.

    Raises:
        AssertionError: when nothing has changed for `STALL_SECONDS`.
    """
    patience = Patience(progress)
    while not condition():
        if patience.exhausted():
            raise AssertionError(f"nothing has changed for {STALL_SECONDS:.0f} s: {describe()}")
        time.sleep(every)


def words(shown: str | bytes | bytearray) -> object:
    """The words in what a terminal shows, as its progress: clocks and counters that only tick are none."""
    text = shown if isinstance(shown, str) else bytes(shown).decode("utf-8", "replace")
    return sorted(set(re.findall(r"[^\W\d_]{2,}", text)))


def cpu_seconds(pids: Iterable[int], step: float = 1.0) -> tuple[int, ...]:
    """CPU time of some processes and all below them, in whole steps of `step` seconds, as their progress.

    Whoever only asks at intervals whether there is something to do, uses less than a step in `STALL_SECONDS`.
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
    """Exit code of a process, waited for as long as it uses CPU time. Its output must not be a pipe that fills up."""
    wait_until(lambda: process.poll() is not None, lambda: cpu_seconds([process.pid]), lambda: process.args)
    return int(process.returncode)


def communicate(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process prints until it ends, waited for as long as it uses CPU time. Kills it when it does not."""
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
    """`subprocess.run` with captured text, that waits for as long as the process uses CPU time."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        printed, said = communicate(process)
    finished = subprocess.CompletedProcess(process.args, process.returncode, printed, said)
    if check and process.returncode:
        print(printed, said, file=sys.stderr)
        finished.check_returncode()
    return finished


def read_until(terminal: int, *wanted: bytes) -> bytes:
    """What a pseudo-terminal shows, until one of some texts is in it, it is closed, or no new word arrives."""
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
