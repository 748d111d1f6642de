"""Pseudo-terminal of 160×50 that runs a program and records what is typed and what is printed, how many bytes and when.

It answers the one query that a program sends to its terminal (whether it supports synchronized output), as current
terminals do. It knows nothing of the program's screens; the caller names the words that a repaint must contain.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

COLUMNS, LINES = 160, 50
_ASKS_FOR_SYNC, _HAS_SYNC = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
_CONTROLS = re.compile(rb"\x1b\[[0-9;?:<>=]*[A-Za-z]|\x1b[()][A-Za-z0-9]|\x1b[=>78]|\x0f|\x0e")


class PseudoTerminal:
    """Starts a command on a terminal of its own; a context manager."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.started = time.perf_counter()
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})})
            os.execvp(command[0], list(command))
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.received = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._terminal)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def write(self, keys: bytes) -> None:
        """Send keystrokes."""
        os.write(self._terminal, keys)

    def read(self, seconds: float) -> bytes:
        """Return the next output that arrives within `seconds`; empty when none does."""
        if not select.select([self._terminal], [], [], seconds)[0]:
            return b""
        got = os.read(self._terminal, 1 << 16)
        self.received += len(got)
        if _ASKS_FOR_SYNC in got:
            self.write(_HAS_SYNC)
        return got

    def until(self, there: Callable[[str], object], seconds: float = 30.0) -> float:
        """Read until the output contains a repaint, and return the time at which it did.

        Args:
            there: predicate on the text that has arrived since the call, without control sequences.
            seconds: maximum time to wait.

        Raises:
            RuntimeError: if the repaint does not arrive; with the end of the output.
        """
        seen, arrived = b"", time.perf_counter()
        deadline = arrived + seconds
        while not there(plain(seen)):
            if time.perf_counter() > deadline:
                raise RuntimeError(f"no such repaint in {seconds:g} s; the terminal got {plain(seen)[-600:]!r}")
            seen += self.read(0.05)
            # Taken here: searching for the words is not part of the repaint.
            arrived = time.perf_counter()
        return arrived

    def repaint(self, keys: bytes, there: Callable[[str], object], *, after: float = 0.1) -> float:
        """Return the seconds from typing some keys until their repaint has arrived, `after` seconds of quiet (by
        default those between the keys of a fast typist)."""
        self.settle(after)
        started = time.perf_counter()
        self.write(keys)
        return self.until(there) - started

    def settle(self, quiet: float = 0.03, most: float = 1.0) -> None:
        """Read pending output until none arrives for a moment (or for so long that it will not end)."""
        deadline = time.perf_counter() + most
        while self.read(quiet) and time.perf_counter() < deadline:
            pass

    def bytes_per_second(self, seconds: float) -> float:
        """Return the mean number of bytes a second that arrive when nothing is typed."""
        self.settle()
        before, started = self.received, time.perf_counter()
        while (left := started + seconds - time.perf_counter()) > 0:
            self.read(left)
        return (self.received - before) / (time.perf_counter() - started)


def plain(received: bytes) -> str:
    """Return text without control sequences; each of them separates the text before it from the text after it."""
    return _CONTROLS.sub(b"\x1f", received).decode(errors="replace")
