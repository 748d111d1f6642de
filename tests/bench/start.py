"""How long an operator waits: `reflectevo --help`, and the first full frame on 100,000 trajectories, each against
its budget. The frame is taken from the bytes of a real pty."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from tests.bench.measure import Row
from tests.support.large_store import make_large_store

HELP_SECONDS = 0.2
FRAME_SECONDS = 1.0
RUNS = 5


def measure() -> list[Row]:
    """Both budgets."""
    program = str(Path(sys.executable).with_name("reflectevo"))
    helped = statistics.median(_help(program) for _ in range(RUNS))
    with tempfile.TemporaryDirectory() as directory:
        workspace = make_large_store(Path(directory) / "workspace", 100_000)
        framed = statistics.median(_first_frame(program, workspace.root) for _ in range(RUNS))
    return [
        Row(
            "reflectevo --help",
            f"{1000 * helped:.0f} ms",
            f"{1000 * HELP_SECONDS:.0f} ms",
            helped / HELP_SECONDS,
            1,
            False,
        ),
        Row(
            "first full frame, 100,000 trajectories",
            f"{1000 * framed:.0f} ms",
            f"{1000 * FRAME_SECONDS:.0f} ms",
            framed / FRAME_SECONDS,
            1,
            False,
        ),
    ]


def _help(program: str) -> float:
    started = time.perf_counter()
    subprocess.run([program, "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _first_frame(program: str, workspace: Path) -> float:
    """Seconds from the start of the process until the monitor shows the newest trajectory."""
    started = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", SSH_CONNECTION="bench")
        os.execv(program, [program, "-w", str(workspace)])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
    received = b""
    try:
        while b"100,000" not in received and b"100000" not in received:
            received += os.read(terminal, 65536)
            if time.perf_counter() - started > 30:
                raise RuntimeError(f"no frame in 30 s; the terminal got {received[-400:]!r}")
        return time.perf_counter() - started
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)
