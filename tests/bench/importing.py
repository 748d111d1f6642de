"""Import of a published file: records a second and memory against their bounds, and the complete import with its search
index against plain inserts of the same rows by sqlite3."""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.commands.init import init_workspace
from reflectevo_tui.engine_client.process import engine_command
from store.database.connection import open_writer, write
from store.database.migrations import migrate
from store.workspace import Workspace
from tests.bench.measure import Row
from tests.support.published import Maker, write_records

RECORDS = 60_000
RECORDS_PER_SECOND = 5_000
MOST_MEMORY = 500 << 20
_MOST_OVER_PLAIN = 12.0
_TABLES = ("questions", "attempts", "reflections", "trajectories", "import_records")


@dataclass(frozen=True)
class Measured:
    """One import: seconds, and the peak memory of all its processes together, in bytes."""

    seconds: float
    memory: int


def measure() -> list[Row]:
    """Return the rows of an import against its bounds, and its cost over plain inserts."""
    with tempfile.TemporaryDirectory() as directory:
        workspace, measured = run_import(Path(directory), RECORDS)
        plain = _plain(workspace, Path(directory) / "plain.db")
    rate = RECORDS / measured.seconds
    return [
        Row(
            f"import of {RECORDS:,} raw records, records/s",
            f"{rate:,.0f}",
            f"{RECORDS_PER_SECOND:,}",
            rate / RECORDS_PER_SECOND,
            1,
            True,
        ),
        Row(
            "import, most memory of its processes",
            f"{measured.memory >> 20} MiB",
            f"{MOST_MEMORY >> 20} MiB",
            measured.memory / MOST_MEMORY,
            1,
            False,
        ),
        Row(
            "import with search index / plain inserts of the same rows",
            f"{measured.seconds:.1f} s",
            f"{plain:.1f} s",
            measured.seconds / plain,
            _MOST_OVER_PLAIN,
            False,
        ),
    ]


def run_import(directory: Path, records: int, reflections: int = 1) -> tuple[Workspace, Measured]:
    """Import a synthetic file of `records` pretty-printed raw records in a separate process, and watch its memory."""
    maker = Maker()
    path = write_records(directory / "raw.json", (maker.raw(n, reflections) for n in range(records)), indent=4)
    workspace = Workspace(directory / "workspace")
    init_workspace(workspace, "demo-cpu", None, replace=False)
    started, memory = time.perf_counter(), 0
    command = engine_command("import", "-w", str(workspace.root), "--file", str(path))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            memory = max(memory, _held(watched))
            time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f"the import ended with exit code {process.returncode}")
    return workspace, Measured(time.perf_counter() - started, memory)


def _held(process: psutil.Process) -> int:
    """Return the memory of a process and its children in bytes: private pages, and shared pages once for each."""
    held = 0
    try:
        for one in (process, *process.children(recursive=True)):
            held += one.memory_info().rss
    except psutil.NoSuchProcess:
        return held
    return held


def _plain(workspace: Workspace, path: Path) -> float:
    """Return the seconds sqlite3 takes to insert the same rows into the same tables and indexes, without a search
    index.
    """
    with closing(open_writer(path)) as connection, closing(sqlite3.connect(workspace.database)) as source:
        migrate(connection)
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA cache_size = -65536")
        gathered = {table: source.execute(f"SELECT * FROM {table}").fetchall() for table in _TABLES}
        started = time.perf_counter()
        with write(connection):
            for table, rows in gathered.items():
                connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", rows)
        return time.perf_counter() - started
