"""Budgets of the terminal over SSH, measured on a pseudo-terminal of 160×50 and again inside tmux, on a synthetic
store of 460,000 trajectories, while another process writes a hundred more each second.

    REFLECTEVO_BENCH_ROWS=20000     a smaller store
    REFLECTEVO_BENCH_STORE=DIR      keep the stores there, and reuse existing ones

The timed interval is the one an operator experiences: from the bytes of a key to the bytes of its repaint. `growth`
measures a store of ten times the size beside the first, and compares medians.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from store.workspace import Workspace
from tests.bench.measure import Row
from tests.bench.pseudo_terminal import PseudoTerminal
from tests.bench.stores import TIMES, demo_store, held, kept_stores
from tests.bench.terminal_hands import Hands

ROWS = 460_000
GROWTH = 1.5
SECONDS_IDLE, SECONDS_BUSY = 15.0, 20.0
STARTS = 5

HELP, FRAME, KEY, JUMP, SEARCH = 0.2, 1.0, 0.05, 0.1, 0.15
"""Budgets in seconds: help, first full frame, key press, jump or next filter page, first page of a search."""
IDLE, BUSY, MEMORY = 200.0, 2048.0, 100e6
"""Budgets in bytes: a second on an idle screen, a second of a busy run, resident memory."""

_PROGRAM = Path(sys.executable).with_name("reflectevo")
_OVER_SSH = {"SSH_CONNECTION": "bench", "COLORTERM": ""}


def measure() -> list[Row]:
    """Measure every budget, on the bare terminal and in tmux."""
    rows = [_times("reflectevo --help", [_help() for _ in range(2 * STARTS)], HELP)]
    with kept_stores() as directory:
        workspace = demo_store(directory, _wanted_rows())
        for inside_tmux in (False, True):
            if inside_tmux and shutil.which("tmux") is None:
                print("the half inside tmux is left out: tmux is not installed", file=sys.stderr)
                continue
            rows += _budgets(workspace, inside_tmux)
    return rows


def growth() -> list[Row]:
    """Measure jump, page and filtered page on a store of ten times the size, against the first."""
    medians, sizes = [], []
    with kept_stores() as directory:
        for rows in (_wanted_rows(), TIMES * _wanted_rows()):
            workspace = demo_store(directory, rows)
            sizes.append(held(workspace))
            with _engine(workspace), _terminal(workspace, inside_tmux=False) as terminal:
                hands = Hands(terminal)
                hands.open_list()
                taken = {"jump": hands.jumps(), "page": hands.pages()}
                taken |= {"first filtered page": hands.filters(), "first page of a search": hands.searches()}
                medians.append({what: statistics.median(times) for what, times in taken.items()})
    small, large = medians
    return [
        Row(
            f"{what}, {sizes[1]:,} / {sizes[0]:,} trajectories",
            _milliseconds(large[what]),
            _milliseconds(small[what]),
            large[what] / small[what],
            GROWTH,
            False,
        )
        for what in small
    ]


def _wanted_rows() -> int:
    return int(os.environ.get("REFLECTEVO_BENCH_ROWS", ROWS))


@contextmanager
def _engine(workspace: Workspace, *arguments: str) -> Iterator[None]:
    """Run a simulated engine at work."""
    command = [sys.executable, "-m", "tests.bench.busy_engine", str(workspace.root), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("the stand-in for the engine did not start")
        try:
            yield
            if process.poll() is not None:
                raise RuntimeError(f"the stand-in for the engine ended with {process.returncode} while it was needed")
        finally:
            process.kill()


@contextmanager
def _terminal(workspace: Workspace, inside_tmux: bool) -> Iterator[PseudoTerminal]:
    """Run the application on a terminal, directly or through tmux."""
    command = [str(_PROGRAM), "-w", str(workspace.root)]
    if not inside_tmux:
        with PseudoTerminal(command, _OVER_SSH) as terminal:
            yield terminal
        return
    with tempfile.TemporaryDirectory() as directory:
        configuration, socket = Path(directory, "conf"), Path(directory, "socket")
        configuration.write_text("set -g status off\nset -g mouse on\nset -g escape-time 0\n")
        tmux = ["tmux", "-S", str(socket), "-f", str(configuration)]
        with PseudoTerminal([*tmux, "new-session", "-s", "bench", *command], _OVER_SSH) as terminal:
            try:
                yield terminal
            finally:
                subprocess.run([*tmux, "kill-server"], check=False)


def _budgets(workspace: Workspace, inside_tmux: bool) -> list[Row]:
    where, size = " in tmux" if inside_tmux else "", held(workspace)
    with _engine(workspace):
        starts = [_first_frame(workspace, inside_tmux) for _ in range(STARTS)]
        with _terminal(workspace, inside_tmux) as terminal:
            hands = Hands(terminal)
            hands.see_monitor(_wanted_rows())
            terminal.bytes_per_second(3.0)
            busy = terminal.bytes_per_second(SECONDS_BUSY)
            hands.open_list()
            keys, jumps, pages = hands.keys(), hands.jumps(), hands.pages()
            anywhere = hands.jumps_anywhere(_wanted_rows())
            filtered, searched = hands.filters(), hands.searches()
            switched = hands.switches()
            memory = max(_memory(terminal.pid if not inside_tmux else _pid_on(workspace)), 1)
    with _engine(workspace, "--rest"), _terminal(workspace, inside_tmux) as terminal:
        Hands(terminal).see_monitor(_wanted_rows())
        terminal.bytes_per_second(3.0)
        idle = terminal.bytes_per_second(SECONDS_IDLE)
    return [
        _times(f"first full frame, {size:,} trajectories{where}", starts, FRAME),
        _times(f"key press to repaint in the list{where}", keys, KEY, p95=True),
        _times(f"key press to repaint, another screen{where}", switched, KEY, p95=True),
        _times(f"jump to the end of the list{where}", jumps, JUMP, p95=True),
        _times(f"jump anywhere in the list{where}", anywhere, JUMP, p95=True),
        _times(f"next page of a filtered list{where}", pages, JUMP, p95=True),
        _times(f"first page of a filter{where}", filtered, JUMP, p95=True),
        _times(f"first page of a search{where}", searched, SEARCH, p95=True),
        Row(f"idle monitor{where}", f"{idle:.0f} B/s", f"{IDLE:.0f} B/s", idle / IDLE, 1, False),
        Row(f"monitoring a busy run{where}", f"{busy:.0f} B/s", f"{BUSY:.0f} B/s", busy / BUSY, 1, False),
        Row(
            f"resident memory{where}",
            f"{memory / 1e6:.0f} MB",
            f"{MEMORY / 1e6:.0f} MB",
            memory / MEMORY,
            1,
            False,
        ),
    ]


def _times(what: str, seconds: Sequence[float], budget: float, *, p95: bool = False) -> Row:
    """Return a row with median and 95th percentile; the one that the budget applies to decides."""
    median, high = statistics.median(seconds), percentile(seconds, 0.95)
    ours = f"{_milliseconds(median)} (p95 {_milliseconds(high)}, n = {len(seconds)})"
    decides = high if p95 else median
    return Row(f"{what}{', p95' if p95 else ''}", ours, _milliseconds(budget), decides / budget, 1, False)


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(-(-int(1000 * share) * len(ordered) // 1000) - 1, 0)]


def _help() -> float:
    started = time.perf_counter()
    subprocess.run([_PROGRAM, "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def _first_frame(workspace: Workspace, inside_tmux: bool) -> float:
    """Return the seconds from the start of the process until the Monitor shows the newest trajectory."""
    with _terminal(workspace, inside_tmux) as terminal:
        return Hands(terminal).see_monitor(_wanted_rows()) - terminal.started


def _pid_on(workspace: Workspace) -> int:
    """Return the process id of the application that shows a workspace, wherever it was started."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if line[-2:] == ["-w", str(workspace.root)] and not line[0].startswith("tmux"):
            return int(process.pid)
    raise RuntimeError("the application inside tmux is not to be found")


def _memory(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)
