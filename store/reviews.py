"""Operator decisions on reflections: append-only, the newest counts."""

from __future__ import annotations

import sqlite3
import time

from store.connection import storable, write
from store.directives import operator_name


def add_review(
    connection: sqlite3.Connection,
    reflection_id: int,
    decision: str,
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
