"""A thread that writes telemetry of a generating process to the store.

A separate thread, so that heartbeats continue while a model is loaded or the event loop is busy. It has its own
connection and writes progress, gauges and live texts twice a second, but nothing that a resume depends on.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.rollout.gauges import Gauges
from store.control.telemetry import add_metrics, beat, put_live_text
from store.database.connection import open_writer, write
from store.records import LiveText, Slot, StageName
from store.runs.iterations import set_note, set_progress

_EVERY_SECONDS = 0.5
_METRICS_EVERY_SECONDS = 5.0


Progress = dict[StageName, tuple[int, int, str]]
"""For each stage of a plan: items done, items known so far, and a note for the operator."""


class TelemetryThread:
    """Writes telemetry from `start` to `stop`.

    Args:
        database: the workspace's database.
        slot: the heartbeat slot.
        iteration_id: the iteration whose stages are reported.
        generator: name of the generator.
        policy: name of the policy that it serves.
    """

    def __init__(self, database: Path, slot: Slot, iteration_id: int, generator: str, policy: str) -> None:
        self._database = database
        self._slot = slot
        self._iteration_id = iteration_id
        self._detail: dict[str, object] = {"generator": generator, "policy": policy}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="broadcast", daemon=True)
        self._started = time.time()
        self.state = "loading"
        self.gauges: Gauges | None = None
        self.queued: Callable[[], int] = lambda: 0
        self.progress: list[Callable[[], Progress]] = []
        """One function per plan that returns its progress."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write telemetry once more and end the thread; waits at most 30 seconds."""
        self._ended.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        connection = open_writer(self._database)
        last_metrics = time.monotonic()
        shown: list[LiveText] = []
        while True:
            ending = self._ended.wait(_EVERY_SECONDS)
            rates = self.gauges.rates() if self.gauges else {}
            texts = self.gauges.live() if self.gauges and not ending else []
            due = self.gauges is not None and time.monotonic() - last_metrics >= _METRICS_EVERY_SECONDS
            try:
                with write(connection):
                    self._write_telemetry(connection, rates)
                    if texts != shown:
                        put_live_text(connection, texts)
                        shown = texts
                    if due and self.state == "running":
                        step = round(time.time() - self._started)
                        add_metrics(connection, self._iteration_id, "attempt", step, rates)
                        last_metrics = time.monotonic()
            except sqlite3.OperationalError:
                # The store writer reports the same problem and retries; telemetry need not be complete.
                pass
            if ending:
                connection.close()
                return

    def _write_telemetry(self, connection: sqlite3.Connection, rates: dict[str, float | None]) -> None:
        detail = {
            **self._detail,
            **rates,
            "in_flight": self.gauges.in_flight if self.gauges else 0,
            "queued": self.queued(),
        }
        beat(connection, self._slot, os.getpid(), self._started, self.state, detail)
        for report in list(self.progress):
            for stage, (done, total, note) in report().items():
                set_progress(connection, self._iteration_id, stage, done, total)
                if note:
                    set_note(connection, self._iteration_id, stage, note)
