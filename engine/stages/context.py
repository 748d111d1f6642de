"""What a stage process works with: its job, its workspace, its supervisor's commands and its heartbeat.

Knows nothing of what any stage does.
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
    """What the supervisor says on the child's standard input, one word a line."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._pause = threading.Event()
        self._save = threading.Event()

    def listen(self) -> None:
        """Start listening; the end of input means the supervisor is gone, and the child stops."""
        threading.Thread(target=self._listen, name="commands", daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self.hear(line.strip())
        self._stop.set()

    def hear(self, word: str) -> None:
        """Obey one word."""
        if word == "stop":
            self._stop.set()
        elif word == "pause":
            self._pause.set()
        elif word == "resume":
            self._pause.clear()
        elif word == "save":
            self._save.set()

    def should_stop(self) -> bool:
        """True once a stop was asked for."""
        return self._stop.is_set()

    def is_paused(self) -> bool:
        """True between pause and resume."""
        return self._pause.is_set()

    def take_save_request(self) -> bool:
        """True once for each `save`."""
        asked = self._save.is_set()
        self._save.clear()
        return asked


class Pulse:
    """The child's heartbeat row, renewed each second from a thread of its own, so that importing a library or
    loading a model is not silence.

    Args:
        database: the workspace's database.
        slot: the heartbeat's slot.
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
        """What the next heartbeats say."""
        self._said = (state, detail or {})

    def end(self) -> None:
        """Take the heartbeat away: the child ends in order, or another thread tells more."""
        self._ended.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        connection = open_writer(self._database)
        ending = False
        while not ending:
            state, detail = self._said
            # A disk that can't be written is named by the stage itself, whose work it stops.
            with contextlib.suppress(sqlite3.OperationalError), write(connection):
                beat(connection, self._slot, os.getpid(), self._started, state, detail)
            ending = self._ended.wait(_BEAT_SECONDS)
        with contextlib.suppress(sqlite3.OperationalError), write(connection):
            end_heartbeat(connection, self._slot)
        connection.close()


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage works with."""

    workspace: Workspace
    job: Job
    connection: sqlite3.Connection
    commands: Commands
    pulse: Pulse

    def warn(self, message: str) -> None:
        """Record a warning of this stage for the operator."""
        with write(self.connection):
            add_event(self.connection, "warning", self.job.slot, message, self.job.iteration_id)
