"""The real program on a real pty: started, sent keys, read from, left unread, hung up and killed."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.waiting import Patience, cpu_seconds, words

PROGRAM = "from reflectevo_tui.cli import main; main()"


class Terminal:
    """`reflectevo` on a pty of the given columns and rows."""

    def __init__(self, workspace: Path, columns: int = 160, rows: int = 50) -> None:
        self.received = bytearray()
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", SSH_CONNECTION="test", COLORTERM="truecolor")
            for name in ("NO_COLOR", "COLUMNS", "LINES"):
                os.environ.pop(name, None)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execv(sys.executable, [sys.executable, "-c", PROGRAM, "-w", str(workspace)])
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: str) -> None:
        """Send keys."""
        os.write(self.descriptor, keys.encode())

    def read(self, seconds: float) -> bytes:
        """Return the output that arrives within a time; also kept in `received`."""
        piece = bytearray()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.descriptor], [], [], left)[0]:
                break
            try:
                new = os.read(self.descriptor, 1 << 16)
            except OSError:
                break
            if not new:
                break
            piece += new
        self.received += piece
        return bytes(piece)

    def read_quiet(self, quiet: float = 0.15, seconds: float = 10.0) -> bytes:
        """Return the output that arrives until none came for a while."""
        piece = bytearray()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            new = self._one(quiet)
            if not new:
                break
            piece += new
        return bytes(piece)

    def _one(self, seconds: float) -> bytes:
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return b""
        try:
            new = os.read(self.descriptor, 1 << 16)
        except OSError:
            return b""
        self.received += new
        return new

    def read_until(self, *wanted: bytes) -> bytes:
        """Return the output up to one of some texts. Raises TimeoutError with its end when no new word arrives."""
        piece = bytearray()
        patience = Patience(lambda: words(piece))
        while not any(text in piece for text in wanted):
            if patience.exhausted() or not self.alive():
                raise TimeoutError(f"{wanted!r} did not come; the terminal got {bytes(piece[-600:])!r}")
            piece += self._one(0.1)
        return bytes(piece)

    def alive(self) -> bool:
        """Check whether the program still runs."""
        try:
            return os.waitpid(self.pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:
            return False

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal and wait for the program to end."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
        patience = Patience(lambda: cpu_seconds([self.pid]))
        while self.alive():
            self._one(0.05)
            if patience.exhausted():
                os.kill(self.pid, signal.SIGKILL)
        with suppress(OSError):
            os.close(self.descriptor)


@contextmanager
def terminal(workspace: Path, columns: int = 160, rows: int = 50) -> Iterator[Terminal]:
    """Start a terminal that is ended afterwards in any case."""
    one = Terminal(workspace, columns, rows)
    try:
        yield one
    finally:
        if one.alive():
            one.end()
