"""Large synthetic stores that several benchmarks share, built once.

    REFLECTEVO_BENCH_STORE=DIR      keep the stores there, and reuse existing ones

460,000 trajectories take half a minute and 0.9 GB, 4,600,000 some four minutes and 9 GB: the largest store repeats the
one before it ten times, with ids and questions of its own, because putting ten times as many texts together would take
longer than anything that is measured.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from reflectevo_tui.commands.demo.synthetic_store import DemoStore
from store.database import bulk
from store.database.connection import open_reader, open_writer
from store.database.search_buffer import narrow_search_buffer, widen_search_buffer
from store.rollouts.trajectories import TrajectoryFilter, count
from store.workspace import Workspace
from tests.support.multiplied_store import multiply

KEEP = "REFLECTEVO_BENCH_STORE"
TIMES = 10
_MOST_COMPOSED = 1_000_000
"""Rows above which a store is built by repeating a smaller one."""
_SEARCH_BUFFER = 64 << 20


@contextmanager
def kept_stores() -> Iterator[Path]:
    """Yield the directory of the stores: a kept one if one is named, else a temporary one."""
    kept = os.environ.get(KEEP)
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
        yield Path(kept)
        return
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def held(workspace: Workspace) -> int:
    """Return the number of trajectories of a store: a kept one grows by the rows of earlier measurements."""
    with closing(open_reader(workspace.database)) as connection:
        return count(connection, TrajectoryFilter())


def demo_store(directory: Path, rows: int) -> Workspace:
    """Return a synthetic workspace of so many trajectories (a few more), building it if it doesn't exist."""
    workspace = Workspace(directory / f"demo{rows}")
    if workspace.database.exists():
        return workspace
    print(f"making {rows:,} synthetic trajectories …", file=sys.stderr, flush=True)
    # Under a temporary name until it is complete: an interrupted benchmark leaves no partial store to the next one.
    unfinished = Workspace(directory / f"demo{rows}.unfinished")
    shutil.rmtree(unfinished.root, ignore_errors=True)
    if rows <= _MOST_COMPOSED:
        for _ in DemoStore(unfinished, rows, 0).make():
            pass
    else:
        shutil.copytree(demo_store(directory, rows // TIMES).root, unfinished.root)
        with closing(open_writer(unfinished.database)) as connection:
            for _ in multiply(connection, TIMES):
                pass
            # Saves half a minute. Not for the smaller ones: later writes to them would take twice as long.
            widen_search_buffer(connection, _SEARCH_BUFFER)
            bulk.finish(connection)
            narrow_search_buffer(connection)
    unfinished.root.rename(workspace.root)
    return workspace
