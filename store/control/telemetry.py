"""Telemetry of the engine: heartbeats, events, metrics, live text and capabilities."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence

from store.database.connection import storable
from store.database.rows import dump_json, load_json, to_record, to_records
from store.records import Event, EventLevel, Heartbeat, JsonObject, LiveText, MetricPoint, Slot, StageName


def beat(
    connection: sqlite3.Connection, slot: Slot, pid: int, started: float, state: str, detail: JsonObject | None = None
) -> None:
    """Renew the heartbeat of a slot. `started` is in seconds since 1970."""
    connection.execute(
        "INSERT OR REPLACE INTO heartbeats (slot, pid, started, beat, state, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (slot, pid, started, time.time(), state, dump_json(detail or {})),
    )


def end_heartbeat(connection: sqlite3.Connection, slot: Slot) -> None:
    """Remove the heartbeat of a slot whose process has ended."""
    connection.execute("DELETE FROM heartbeats WHERE slot = ?", (slot,))


def heartbeats(connection: sqlite3.Connection) -> dict[Slot, Heartbeat]:
    """Return the newest heartbeat of each slot."""
    rows = connection.execute("SELECT * FROM heartbeats").fetchall()
    return {row["slot"]: to_record(Heartbeat, row) for row in rows}


def add_event(
    connection: sqlite3.Connection, level: EventLevel, source: str, text: str, iteration_id: int | None = None
) -> None:
    """Append an event to the log that operators read."""
    connection.execute(
        "INSERT INTO events (created, level, source, iteration_id, text) VALUES (?, ?, ?, ?, ?)",
        (time.time(), level, source, iteration_id, storable(text)),
    )


def events(connection: sqlite3.Connection, *, after: int = 0, limit: int = 200) -> list[Event]:
    """Return the newest events with an id above `after`, at most `limit`, oldest first."""
    rows = connection.execute("SELECT * FROM events WHERE id > ? ORDER BY id DESC LIMIT ?", (after, limit)).fetchall()
    return to_records(Event, rows[::-1])


def add_metrics(
    connection: sqlite3.Connection, iteration_id: int, stage: StageName, step: int, values: Mapping[str, float | None]
) -> None:
    """Store the metrics of one step; a step repeated after a resume replaces its values."""
    now = time.time()
    connection.executemany(
        "INSERT INTO metrics (iteration_id, stage, step, name, value, created) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (iteration_id, stage, name, step) DO UPDATE SET value = excluded.value,"
        " created = excluded.created",
        [(iteration_id, stage, step, name, value, now) for name, value in values.items()],
    )


_IS_NUMBER = "(value IS NULL OR (typeof(value) IN ('integer', 'real') AND abs(value) < 1e308))"
"""SQL condition that a point has a finite value or none; anything else was not stored by the engine."""


def metrics(
    connection: sqlite3.Connection, iteration_id: int, stage: StageName, names: Sequence[str] = (), limit: int = 2000
) -> list[MetricPoint]:
    """Return the newest `limit` metric points of a stage, in the order of their steps; all names by default."""
    wanted = f" AND name IN ({', '.join('?' * len(names))})" if names else ""
    rows = connection.execute(
        f"SELECT * FROM metrics WHERE iteration_id = ? AND stage = ?{wanted} AND {_IS_NUMBER}"
        " ORDER BY step DESC, id DESC LIMIT ?",
        (iteration_id, stage, *names, limit),
    ).fetchall()
    return to_records(MetricPoint, rows[::-1])


def put_live_text(connection: sqlite3.Connection, texts: Sequence[LiveText]) -> None:
    """Replace the texts that are being generated now."""
    connection.execute("DELETE FROM live_text")
    connection.executemany(
        "INSERT INTO live_text (slot, role, question_id, task, instruction, text, updated)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (text.slot, text.role, text.question_id, text.task, text.instruction, storable(text.text), text.updated)
            for text in texts
        ],
    )


def live_texts(connection: sqlite3.Connection) -> list[LiveText]:
    """Return the texts that are being generated now, in the order of their slots."""
    return to_records(LiveText, connection.execute("SELECT * FROM live_text ORDER BY slot").fetchall())


def put_capability(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Store a capability of the engine (any JSON value)."""
    connection.execute(
        "INSERT OR REPLACE INTO capabilities (name, value, updated) VALUES (?, ?, ?)",
        (name, dump_json(value), time.time()),
    )


def capabilities(connection: sqlite3.Connection) -> dict[str, object]:
    """Return the capabilities that the engine published at its last start, by name."""
    return {name: load_json(value) for name, value in connection.execute("SELECT name, value FROM capabilities")}
