"""Operator decisions on reflections: append-only, the newest counts."""

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
"""What `error_kind` 1 to 8 says in words: the places where the pool's instructions look for a mistake (part `l`)."""


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
    """Append a decision (`accept`, `reject`, `flag`, or `clear` to take one back) and return its id."""
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
    """The decision on a reflection that counts; None when there is none, or it was taken back."""
    row = connection.execute(
        "SELECT * FROM reviews WHERE reflection_id = ? ORDER BY id DESC LIMIT 1", (reflection_id,)
    ).fetchone()
    return None if row is None or row["decision"] == "clear" else to_record(Review, row)
