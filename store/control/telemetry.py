"""Liveness and the stream of small facts: heartbeats, events, metrics, live text, capabilities."""

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
    """Renew the heartbeat of a slot."""
    connection.execute(
        "INSERT OR REPLACE INTO heartbeats (slot, pid, started, beat, state, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (slot, pid, started, time.time(), state, dump_json(detail or {})),
    )


def end_heartbeat(connection: sqlite3.Connection, slot: Slot) -> None:
    """Remove the heartbeat of a slot that ended in order."""
    connection.execute("DELETE FROM heartbeats WHERE slot = ?", (slot,))


def heartbeats(connection: sqlite3.Connection) -> dict[Slot, Heartbeat]:
    """The newest heartbeat of each slot."""
    rows = connection.execute("SELECT * FROM heartbeats").fetchall()
    return {row["slot"]: to_record(Heartbeat, row) for row in rows}


def add_event(
    connection: sqlite3.Connection, level: EventLevel, source: str, text: str, iteration_id: int | None = None
) -> None:
    """Append a line to the human-readable log."""
    connection.execute(
        "INSERT INTO events (created, level, source, iteration_id, text) VALUES (?, ?, ?, ?, ?)",
        (time.time(), level, source, iteration_id, storable(text)),
    )


def events(connection: sqlite3.Connection, *, after: int = 0, limit: int = 200) -> list[Event]:
    """The newest events with an id above `after`, oldest first."""
    rows = connection.execute("SELECT * FROM events WHERE id > ? ORDER BY id DESC LIMIT ?", (after, limit)).fetchall()
    return to_records(Event, rows[::-1])


def add_metrics(
    connection: sqlite3.Connection, iteration_id: int, stage: StageName, step: int, values: Mapping[str, float | None]
) -> None:
    """Store values of one step; a step done again after a resume replaces its values."""
    now = time.time()
    connection.executemany(
        "INSERT INTO metrics (iteration_id, stage, step, name, value, created) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (iteration_id, stage, name, step) DO UPDATE SET value = excluded.value,"
        " created = excluded.created",
        [(iteration_id, stage, step, name, value, now) for name, value in values.items()],
    )


def metrics(
    connection: sqlite3.Connection, iteration_id: int, stage: StageName, names: Sequence[str] = (), limit: int = 2000
) -> list[MetricPoint]:
    """Curves of a stage, in the order of their steps; the newest `limit` points."""
    wanted = f" AND name IN ({', '.join('?' * len(names))})" if names else ""
    rows = connection.execute(
        f"SELECT * FROM metrics WHERE iteration_id = ? AND stage = ?{wanted} ORDER BY step DESC, id DESC LIMIT ?",
        (iteration_id, stage, *names, limit),
    ).fetchall()
    return to_records(MetricPoint, rows[::-1])


def put_live_text(connection: sqlite3.Connection, texts: Sequence[LiveText]) -> None:
    """Replace what is being generated now."""
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
    """What is being generated now, by slot."""
    return to_records(LiveText, connection.execute("SELECT * FROM live_text ORDER BY slot").fetchall())


def put_capability(connection: sqlite3.Connection, name: str, value: object) -> None:
    """Publish something the engine can do (any JSON value)."""
    connection.execute(
        "INSERT OR REPLACE INTO capabilities (name, value, updated) VALUES (?, ?, ?)",
        (name, dump_json(value), time.time()),
    )


def capabilities(connection: sqlite3.Connection) -> dict[str, object]:
    """All that the engine published when it last started."""
    return {name: load_json(value) for name, value in connection.execute("SELECT name, value FROM capabilities")}
