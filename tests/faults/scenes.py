"""Scenes for fault tests: engines over a small quiz, with the faults of `injected/` or without, and the rows that must
survive.

Everything is real: processes, signals, files and SQLite. Only the texts are scripted.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.supervisor.child_processes import tagged_processes
from store.errors import StoreError
from tests.support.engines import REFLECTED, WORK, EngineHarness
from tests.support.quiz import quiz_settings

INJECTED = Path(__file__).parent / "injected"
CURATED = "SELECT set_name, included, reason, count(*) FROM curated GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
SEEN = """
SELECT 'attempt', id, reasoning FROM attempts UNION ALL SELECT 'reflection', id, text FROM reflections
UNION ALL SELECT 'policy', id, name || path FROM policies UNION ALL SELECT 'evaluation', id, protocol FROM evaluations
UNION ALL SELECT 'directive', id, uuid FROM directives UNION ALL SELECT 'trajectory', id, transition FROM trajectories
"""
"""Query of all rows that are never removed once a reader saw them."""


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables for the processes started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class Scene(EngineHarness):
    """One engine over a quiz, observed by a reader that records every committed row it sees."""

    def __init__(self, root: Path, **quiz: Any) -> None:
        root.mkdir(parents=True, exist_ok=True)
        super().__init__(root, quiz_settings(root, **quiz))
        self.root = root
        self.seen: set[tuple[object, ...]] = set()
        self._over = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def start_with(self, faults: dict[str, object] | None, delay: float = 0.0) -> None:
        """Start the engine, with faults inside it or its worker processes."""
        if faults is None:
            self.start(delay)
            return
        path = os.pathsep.join([str(INJECTED), os.environ.get("PYTHONPATH", str(Path(__file__).parents[2]))])
        with environment(REFLECTEVO_FAULTS=json.dumps(faults), PYTHONPATH=path):
            self.start(delay)

    def watch(self) -> None:
        """Begin to record committed rows."""
        self._reader.start()

    def unwatch(self) -> None:
        """Stop recording."""
        self._over.set()
        self._reader.join()

    def _read(self) -> None:
        while not self._over.wait(0.03):
            # During the very first migration there may be no table yet.
            with suppress(sqlite3.Error, StoreError):
                self.seen |= set(self.rows(SEEN))

    def lost(self) -> set[tuple[object, ...]]:
        """Return rows that were seen committed and are missing."""
        return set(self.seen) - set(self.rows(SEEN))

    def intact(self) -> bool:
        """Check whether SQLite finds the file intact."""
        return self.rows("PRAGMA integrity_check") == [("ok",)]

    def outcome(self) -> dict[str, object]:
        """Return what an interrupted and an uninterrupted run must have in common."""
        return {
            "attempts": self.rows(WORK),
            "reflections": self.rows(REFLECTED),
            "curated": self.rows(CURATED),
            "policies": self.rows("SELECT name, state, setting, path FROM policies ORDER BY id"),
            "trajectories": self.rows("SELECT count(*) FROM trajectories"),
            "found": self.rows("SELECT count(*) FROM trajectory_search WHERE trajectory_search MATCH 'step'"),
            "on disk": sorted(
                str(path.relative_to(self.workspace.root)) for path in self.workspace.policies.glob("[!.]*/*")
            ),
            "left over": sorted(path.name for path in self.workspace.policies.glob(".*")),
        }

    def crash(self, kill: signal.Signals = signal.SIGKILL) -> None:
        """Kill the engine, if it still runs, and wait until the kernel released its lock and its worker processes are
        gone.
        """
        pid = self.engine_pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, kill)
        self.wait(lambda: self.engine_pid() is None)
        if pid is not None:
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def kill_child(self) -> bool:
        """Kill one worker process of the engine; False when there is none."""
        for pid in tagged_processes(self.workspace):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def go_on(self) -> None:
        """Start the run, or resume it where a stage failed; a finished run is left alone."""
        if self.iteration_state() != "done":
            self.run()

    def iteration_state(self) -> str:
        """Return the state of the current iteration, empty before the first."""
        iteration = self.status()["iteration"]
        return str(iteration["state"]) if iteration else ""

    def until(self, condition: Callable[[], object]) -> bool:
        """Return whether a condition becomes true before the run stops making progress."""
        try:
            self.wait(condition, every=0.01)
        except AssertionError:
            return False
        return True


@contextmanager
def scene(**quiz: Any) -> Iterator[Scene]:
    """Build a scene in a directory of its own; everything is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="reflectevo-faults-") as directory:
        one = Scene(Path(directory), **quiz)
        try:
            yield one
        finally:
            one._over.set()
            one.shut_down()


def straight(root: Path, **quiz: Any) -> dict[str, object]:
    """Return the outcome of the same run without any fault."""
    one = Scene(root, **quiz)
    try:
        one.start()
        one.run()
        one.wait_state("done")
        return one.outcome()
    finally:
        one.shut_down()


def draw(seed: int) -> random.Random:
    """Return draws determined by a seed."""
    return random.Random(seed)
