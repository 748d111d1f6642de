"""Polls the store in a separate thread and passes a snapshot to a callback when something changed.

Read-only and independent of widgets.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from reflectevo_tui.state.snapshot import Snapshot, read_snapshot
from store.control.liveness import engine_state
from store.database.connection import data_version, open_reader, require_local
from store.errors import StoreError
from store.records import Stage
from store.workspace import Workspace

POLL_SECONDS = 0.15
"""Poll interval of the database version in seconds (a poll takes microseconds)."""

SNAPSHOT_SECONDS = 0.25
"""Minimum seconds between two snapshots, however busy the writers are."""

ENGINE_SECONDS = 1.0
"""Interval in seconds at which the engine's lock and the database file's identity are checked."""

RATE_SECONDS = 60.0
"""Window of the rate of a stage, in seconds."""


class RateMeter:
    """Measures items per second of each running stage over the last minute."""

    def __init__(self) -> None:
        self._seen: dict[int, deque[tuple[float, int]]] = {}

    def rates(self, stages: tuple[Stage, ...], now: float) -> dict[str, float]:
        """Record the progress of the stages at time `now` and return their rates."""
        found: dict[str, float] = {}
        for stage in stages:
            if stage.state != "running":
                self._seen.pop(stage.id, None)
                continue
            seen = self._seen.setdefault(stage.id, deque())
            # A decreased count means that the stage was restarted.
            if seen and stage.done < seen[-1][1]:
                seen.clear()
            seen.append((now, stage.done))
            while now - seen[0][0] > RATE_SECONDS:
                seen.popleft()
            since, done = seen[0]
            if now - since >= 5:
                found[stage.name] = (stage.done - done) / (now - since)
            elif stage.started and now - stage.started > 1:
                found[stage.name] = stage.done / (now - stage.started)
        return found


class Poller:
    """Polls a workspace until stopped; `watched` contains the uuids of directives with pending outcomes."""

    def __init__(
        self, workspace: Workspace, on_snapshot: Callable[[Snapshot], object], on_lost: Callable[[str], object]
    ) -> None:
        self.workspace = workspace
        self.watched: frozenset[str] = frozenset()
        self._on_snapshot = on_snapshot
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._meter = RateMeter()

    def stop(self) -> None:
        """Request `run` to end."""
        self._stop.set()
        self._wake.set()

    def refresh(self) -> None:
        """Read a snapshot at the next poll, even if nothing changed."""
        self._wake.set()

    def run(self) -> None:
        """Poll until stopped, or until the store can't be read (reported once)."""
        try:
            require_local(self.workspace.database)
            connection = open_reader(self.workspace.database)
            try:
                self._watch(connection, self.workspace.database.stat().st_ino)
            finally:
                connection.close()
        except StoreError as error:
            self._on_lost(str(error))
        except (sqlite3.DatabaseError, OSError) as error:
            self._on_lost(
                f"{self.workspace.database} can't be read any more ({error}). "
                "Check the disk, then restart; a damaged file is not changed"
            )

    def _watch(self, connection: sqlite3.Connection, inode: int) -> None:
        version, engine, looked, read = -1, "", 0.0, 0.0
        while not self._stop.is_set():
            now = time.monotonic()
            woken = self._wake.is_set()
            self._wake.clear()
            newest = data_version(connection)
            due = newest != version and now - read >= SNAPSHOT_SECONDS
            if now - looked >= ENGINE_SECONDS:
                looked = now
                self._still_there(inode)
                due = due or engine != self._engine(connection)
            if due or woken or version == -1:
                snapshot = self._read(connection)
                if snapshot is not None:
                    version, read = newest, now
                    engine = snapshot.engine.state
                    self._on_snapshot(snapshot)
            self._wake.wait(POLL_SECONDS)

    def _engine(self, connection: sqlite3.Connection) -> str:
        return engine_state(connection, self.workspace.lock_file).state

    def _read(self, connection: sqlite3.Connection) -> Snapshot | None:
        try:
            snapshot = read_snapshot(connection, self.workspace, self.watched)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return None
            raise
        return replace(snapshot, rates=self._meter.rates(snapshot.stages, snapshot.taken))

    def _still_there(self, inode: int) -> None:
        try:
            present = self.workspace.database.stat().st_ino
        except FileNotFoundError as error:
            raise OSError("it was removed while it was open") from error
        if present != inode:
            raise OSError("another file took its place")
