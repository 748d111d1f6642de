"""A pseudo-terminal of 160×50 with a program on it: what is typed, what comes back, how many bytes and when.

It answers the one question that a program asks of its terminal (whether it takes frames whole), as terminals of today
do. Knows nothing of the program's screens; a caller names the words that a repaint must bring.
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
    """Starts a command on a terminal of its own; use it with `with`."""

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
        """Type."""
        os.write(self._terminal, keys)

    def read(self, seconds: float) -> bytes:
        """What arrives next, at most so many seconds from now; empty when nothing does."""
        if not select.select([self._terminal], [], [], seconds)[0]:
            return b""
        got = os.read(self._terminal, 1 << 16)
        self.received += len(got)
        if _ASKS_FOR_SYNC in got:
            self.write(_HAS_SYNC)
        return got

    def until(self, there: Callable[[str], object], seconds: float = 30.0) -> float:
        """Read until what has arrived holds a repaint, and return when that was.

        Args:
            there: asked with the text that has arrived since the call, without control sequences.
            seconds: how long to wait.

        Raises:
            RuntimeError: when it does not arrive; with the end of what did.
        """
        seen, arrived = b"", time.perf_counter()
        deadline = arrived + seconds
        while not there(plain(seen)):
            if time.perf_counter() > deadline:
                raise RuntimeError(f"no such repaint in {seconds:g} s; the terminal got {plain(seen)[-600:]!r}")
            seen += self.read(0.05)
            # Taken here: what it takes to look for the words is no part of the repaint.
            arrived = time.perf_counter()
        return arrived

    def repaint(self, keys: bytes, there: Callable[[str], object], *, after: float = 0.1) -> float:
        """Seconds from typing some keys until their repaint has arrived; `after` so many seconds of quiet, by default
        those between the keys of a fast typist."""
        self.settle(after)
        started = time.perf_counter()
        self.write(keys)
        return self.until(there) - started

    def settle(self, quiet: float = 0.03, most: float = 1.0) -> None:
        """Read what is on its way, until nothing came for a moment (or for so long that it won't end)."""
        deadline = time.perf_counter() + most
        while self.read(quiet) and time.perf_counter() < deadline:
            pass

    def bytes_per_second(self, seconds: float) -> float:
        """How much arrives on average when nothing is typed."""
        self.settle()
        before, started = self.received, time.perf_counter()
        while (left := started + seconds - time.perf_counter()) > 0:
            self.read(left)
        return (self.received - before) / (time.perf_counter() - started)


def plain(received: bytes) -> str:
    """Text without control sequences; each of them parts what stands before and after it."""
    return _CONTROLS.sub(b"\x1f", received).decode(errors="replace")
