"""Operator decisions on reflections: append-only, the newest one is in force."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Literal

from store.control.directives import operator_name
from store.database.connection import storable, write
from store.database.rows import to_record

Decision = Literal["accept", "reject", "flag", "clear"]

ERROR_KINDS: tuple[str, ...] = (
    "calculation",
    "order of steps",
    "logical coherence",
    "internal consistency",
    "context",
    "relevance",
    "format",
    "facts",
)
"""Names of `error_kind` 1 to 8: the kinds of mistake that the instructions of the pool look for (part `l`)."""


@dataclass(frozen=True, slots=True)
class Review:
    """A decision as stored. `error_kind` counts from 1."""

    id: int
    reflection_id: int
    decision: Decision
    error_kind: int | None
    note: str
    reviewer: str
    created: float


def add_review(
    connection: sqlite3.Connection,
    reflection_id: int,
    decision: Decision,
    *,
    error_kind: int | None = None,
    note: str = "",
    reviewer: str | None = None,
) -> int:
    """Append a decision on a reflection in its own transaction and return its id.

    Args:
        connection: a writer.
        reflection_id: the reflection.
        decision: `accept`, `reject`, `flag`, or `clear` to withdraw the previous one.
        error_kind: kind of mistake, from 1 as in `ERROR_KINDS`.
        note: the reason, for later readers.
        reviewer: who decided; the user of this terminal by default.
    """
    with write(connection):
        cursor = connection.execute(
            "INSERT INTO reviews (reflection_id, decision, error_kind, note, reviewer, created)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (reflection_id, decision, error_kind, storable(note), reviewer or operator_name(), time.time()),
        )
        connection.execute(
            "UPDATE trajectories SET review = ? WHERE reflection_id = ?",
            ("" if decision == "clear" else decision, reflection_id),
        )
    return int(cursor.lastrowid or 0)


def newest_review(connection: sqlite3.Connection, reflection_id: int) -> Review | None:
    """Return the decision in force on a reflection; None if there is none or it was withdrawn."""
    row = connection.execute(
        "SELECT * FROM reviews WHERE reflection_id = ? ORDER BY id DESC LIMIT 1", (reflection_id,)
    ).fetchone()
    return None if row is None or row["decision"] == "clear" else to_record(Review, row)
