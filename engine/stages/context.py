"""The context of a worker process: its job, its workspace, the supervisor's commands and its heartbeat.

Knows nothing about what the individual stages do.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.stages.job import Job
from store.control.telemetry import add_event, beat, end_heartbeat
from store.database.connection import open_writer, write
from store.records import Slot
from store.workspace import Workspace

_BEAT_SECONDS = 1.0


class Commands:
    """The supervisor's commands, read from the worker's standard input, one per line."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._pause = threading.Event()
        self._save = threading.Event()

    def listen(self) -> None:
        """Start reading commands in a thread; at the end of input the supervisor has exited, and the worker stops."""
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self.receive(line.strip())
        self._stop.set()

    def receive(self, word: str) -> None:
        """Apply one command; unknown ones are ignored."""
        if word == "stop":
            self._stop.set()
        elif word == "pause":
            self._pause.set()
        elif word == "resume":
            self._pause.clear()
        elif word == "save":
            self._save.set()

    def should_stop(self) -> bool:
        """Return True once a stop was requested."""
        return self._stop.is_set()

    def is_paused(self) -> bool:
        """Return True between pause and resume."""
        return self._pause.is_set()

    def take_save_request(self) -> bool:
        """Return True if `save` was requested since the last call."""
        asked = self._save.is_set()
        self._save.clear()
        return asked


class Pulse:
    """The worker's heartbeat row, renewed each second by a separate thread, so that importing a library or loading a
    model doesn't interrupt it.

    Args:
        database: the workspace's database.
        slot: the slot of the heartbeat.
    """

    def __init__(self, database: Path, slot: Slot) -> None:
        self._database = database
        self._slot = slot
        self._started = time.time()
        self._said: tuple[str, Mapping[str, object]] = ("starting", {})
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def beat(self, state: str, detail: Mapping[str, object] | None = None) -> None:
        """Set the state and detail that the next heartbeats report."""
        self._said = (state, detail or {})

    def end(self) -> None:
        """Remove the heartbeat: the worker ends normally, or another thread reports in its place."""
        self._ended.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        connection = open_writer(self._database)
        ending = False
        while not ending:
            state, detail = self._said
            # A disk that can't be written is reported by the stage itself, which fails on it too.
            with contextlib.suppress(sqlite3.OperationalError), write(connection):
                beat(connection, self._slot, os.getpid(), self._started, state, detail)
            ending = self._ended.wait(_BEAT_SECONDS)
        with contextlib.suppress(sqlite3.OperationalError), write(connection):
            end_heartbeat(connection, self._slot)
        connection.close()


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage has access to."""

    workspace: Workspace
    job: Job
    connection: sqlite3.Connection
    commands: Commands
    pulse: Pulse

    def warn(self, message: str) -> None:
        """Record a warning of this stage for the operator."""
        with write(self.connection):
            add_event(self.connection, "warning", self.job.slot, message, self.job.iteration_id)
