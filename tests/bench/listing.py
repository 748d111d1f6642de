"""Trajectory list on 100,000 rows: a page in the middle against a page at the start, to detect any cost that grows with
the position; and a filtered page against an unfiltered one.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from store.database.connection import open_reader
from store.rollouts.trajectories import TrajectoryFilter, anchors, page
from tests.bench.measure import Row
from tests.support.large_store import make_large_store

ROWS = 100_000


def measure() -> list[Row]:
    """Return the ratios of page times."""
    with tempfile.TemporaryDirectory() as directory:
        workspace = make_large_store(Path(directory) / "workspace", ROWS)
        with closing(open_reader(workspace.database)) as connection:
            everything, some = TrajectoryFilter(), TrajectoryFilter(transition="i→c", task="gcd")
            searched = TrajectoryFilter(search="letter again")
            middle = anchors(connection, some).ids[-2]
            first = _median(lambda: page(connection, everything, limit=50))
            deep = _median(lambda: page(connection, everything, after=ROWS // 2, limit=50))
            filtered = _median(lambda: page(connection, some, after=middle, limit=50))
            found = _median(lambda: page(connection, searched, after=ROWS // 2, limit=50))
    return [
        _row("page in the middle / first page", deep, first, 2),
        _row("page of a filtered list / first page", filtered, first, 10),
        _row("page of a search / first page", found, first, 30),
    ]


def _row(what: str, ours: float, baseline: float, bound: float) -> Row:
    return Row(what, f"{1000 * ours:.2f} ms", f"{1000 * baseline:.2f} ms", ours / baseline, bound, False)


def _median(work: Callable[[], object], runs: int = 21) -> float:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
