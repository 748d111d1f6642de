"""Promise 9: browsing a large store while rows arrive keeps within the budgets of the interface, and the WAL stays
small.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import psutil

from store.database.connection import open_reader
from store.rollouts.trajectories import TrajectoryFilter, page
from store.workspace import Workspace
from tests.faults.results import Result, percentile
from tests.faults.terminals import Terminal, terminal
from tests.support.large_store import make_large_store

RATE = 100
BUDGETS = {
    "first frame": (1.0, "s"),
    "key": (0.05, "s"),
    "jump": (0.1, "s"),
    "filter page": (0.1, "s"),
    "search page": (0.15, "s"),
    "monitor": (2048.0, "B/s"),
    "memory": (100.0, "MB"),
    "WAL": (64.0, "MB"),
}
"""Upper bounds of the interface design, over SSH at 160×50; p95 where there are many values."""


def run(n: int, seed: int, seconds: float = 20.0) -> Result:
    """Browse `n` trajectories; each budget is a trial."""
    with tempfile.TemporaryDirectory(prefix="reflectevo-faults-") as directory:
        workspace = make_large_store(Path(directory) / "workspace", n)
        figures, written = measure(workspace, seconds)
    kept = [name for name, (bound, _) in BUDGETS.items() if figures[name] <= bound]
    words = ", ".join(
        f"{name} {_figure(figures[name], unit)} (at most {_figure(bound, unit)})"
        for name, (bound, unit) in BUDGETS.items()
    )
    return Result(
        9,
        f"browsing {n:,} trajectories while rows arrive",
        len(BUDGETS),
        len(kept),
        len(kept) == len(BUDGETS) and written > 0.9 * RATE,
        f"{written:.0f} rows/s arrived; {words}.",
    )


def measure(
    workspace: Workspace, seconds: float, answers: int = 60, settle: float = 4.0
) -> tuple[dict[str, float], float]:
    """Return every figure by its name, and the rows a second that arrived meanwhile."""
    wal = Path(f"{workspace.database}-wal")
    largest = [0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            largest[0] = max(largest[0], wal.stat().st_size if wal.exists() else 0)

    threading.Thread(target=watch, daemon=True).start()
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.busy_writer", str(workspace.database), str(RATE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        time.sleep(1.0)
        figures = _browse(workspace, seconds, answers, settle) | _queries(workspace)
        answer, _ = writer.communicate(b"")
    finally:
        writer.kill()
        writer.wait()
        over.set()
    figures["WAL"] = largest[0] / 1e6
    return figures, float(answer or 0)


def _browse(workspace: Workspace, seconds: float, answers: int, settle: float) -> dict[str, float]:
    started = time.monotonic()
    with terminal(workspace.root) as one:
        one.read_until(b"Monitor")
        one.read_until(b"i\xe2\x86\x92")
        figures = {"first frame": time.monotonic() - started}
        one.read(settle)
        before = len(one.received)
        one.read(seconds)
        figures["monitor"] = (len(one.received) - before) / seconds
        one.type("2")
        one.read(settle)
        figures["key"] = percentile([_answer(one, "j") for _ in range(answers)], 0.95)
        jumps = ("\x1b[H", "\x1b[6~", "\x1b[F") * (answers // 5 + 1)
        figures["jump"] = percentile([_answer(one, key) for key in jumps], 0.95)
        figures["memory"] = psutil.Process(one.pid).memory_info().rss / 1e6
    return figures


def _answer(one: Terminal, key: str) -> float:
    """Return the seconds from a key to the repaint; a fast typist leaves a tenth of a second between two keys."""
    one.read_quiet(0.1, 1.0)
    started = time.perf_counter()
    one.type(key)
    if not one._one(5.0):
        raise TimeoutError(f"nothing was repainted after {key!r}")
    return time.perf_counter() - started


def _queries(workspace: Workspace) -> dict[str, float]:
    """Run the queries behind a filter and a search, as the screen does."""
    searches = [TrajectoryFilter(search=words) for words in ("letter again", "sign changed", "before the tot", "count")]
    filters = [
        TrajectoryFilter(transition="i→c", task="gcd"),
        TrajectoryFilter(instruction="1-3-2"),
        TrajectoryFilter(task="gcd"),
    ]
    with closing(open_reader(workspace.database)) as connection:

        def took(wanted: TrajectoryFilter) -> float:
            started = time.perf_counter()
            page(connection, wanted, limit=50)
            return time.perf_counter() - started

        return {
            "search page": percentile([took(one) for one in searches * 15], 0.95),
            "filter page": percentile([took(one) for one in filters * 20], 0.95),
        }


def _figure(value: float, unit: str) -> str:
    return f"{1000 * value:.0f} ms" if unit == "s" else f"{value:.0f} {unit}"
