"""Preferences between two reflections on one attempt, append-only.

A human preference takes precedence over a judge's, and a newer one over an older one. Pairs to judge are rows of
`curated` that curation left undecided, so that a terminal can list them without the engine.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Literal

from store.control.directives import operator_name
from store.curation.curated import NOT_JUDGED
from store.curation.records import OpenPair, Preference
from store.database.connection import storable, write
from store.database.rows import to_records

Source = Literal["judge", "human"]

_OPEN = (
    "FROM curated c WHERE c.iteration_id = ? AND c.set_name = 'd_pref' AND c.included = 0 AND c.reason = ?"
    " AND NOT EXISTS (SELECT 1 FROM preferences p WHERE p.chosen_id = c.reflection_id"
    " AND p.rejected_id = c.rejected_reflection_id)"
    " AND NOT EXISTS (SELECT 1 FROM preferences p WHERE p.chosen_id = c.rejected_reflection_id"
    " AND p.rejected_id = c.reflection_id)"
)


def add_preference(
    connection: sqlite3.Connection,
    chosen_id: int,
    rejected_id: int,
    *,
    source: Source = "human",
    confidence: float = 1.0,
    reviewer: str | None = None,
    note: str = "",
) -> int:
    """Append a preference in its own transaction and return its id.

    Args:
        connection: a writer.
        chosen_id: the preferred reflection.
        rejected_id: the other reflection.
        source: `human` takes precedence over `judge`.
        confidence: from 0 to 1; 0 records that the pair was reviewed without a decision.
        reviewer: who decided; the user of this terminal by default.
        note: the reason, for later readers.

    Raises:
        ValueError: when both reflections are the same, or the confidence is outside 0 to 1.
    """
    with write(connection):
        return insert_preference(
            connection,
            chosen_id,
            rejected_id,
            source=source,
            confidence=confidence,
            reviewer=reviewer or operator_name(),
            note=note,
        )


def insert_preference(
    connection: sqlite3.Connection,
    chosen_id: int,
    rejected_id: int,
    *,
    source: Source,
    confidence: float,
    reviewer: str,
    note: str = "",
) -> int:
    """Append a preference inside the caller's write transaction; see `add_preference`."""
    if chosen_id == rejected_id:
        raise ValueError(f"reflection {chosen_id} can't be preferred to itself")
    if not 0 <= confidence <= 1:
        raise ValueError(f"a confidence lies between 0 and 1, this one is {confidence}")
    cursor = connection.execute(
        "INSERT INTO preferences (chosen_id, rejected_id, source, confidence, reviewer, note, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (chosen_id, rejected_id, source, confidence, storable(reviewer), storable(note), time.time()),
    )
    return int(cursor.lastrowid or 0)


def preferences_of(connection: sqlite3.Connection, iteration_id: int) -> list[Preference]:
    """Return all preferences between reflections of an iteration, oldest first."""
    return to_records(
        Preference,
        connection.execute(
            "SELECT p.* FROM preferences p JOIN reflections r ON r.id = p.chosen_id"
            " WHERE r.iteration_id = ? ORDER BY p.id",
            (iteration_id,),
        ).fetchall(),
    )


def count_pairs_to_judge(connection: sqlite3.Connection, iteration_id: int) -> int:
    """Return the number of pairs of an iteration that have no preference yet."""
    found: int = connection.execute(f"SELECT count(*) {_OPEN}", (iteration_id, NOT_JUDGED)).fetchone()[0]
    return found


def pairs_to_judge(
    connection: sqlite3.Connection, iteration_id: int, *, after: int = 0, limit: int = 100
) -> list[OpenPair]:
    """Return a page of an iteration's pairs without a preference, ordered by id, that follows the id `after`.

    These are the pairs that the newest curation left undecided; there are none before the first curation.
    """
    rows = connection.execute(
        "SELECT o.id, q.task, q.id AS question_id, a.id AS attempt_id, r.id AS first_id, s.id AS second_id,"
        " q.text AS question, q.options,"
        " a.reasoning AS attempt, r.text AS first_text, s.text AS second_text"
        f" FROM (SELECT c.* {_OPEN} AND c.id > ? ORDER BY c.id LIMIT ?) o"
        " JOIN reflections r ON r.id = o.reflection_id JOIN reflections s ON s.id = o.rejected_reflection_id"
        " JOIN attempts a ON a.id = r.attempt_id JOIN questions q ON q.id = a.question_id ORDER BY o.id",
        (iteration_id, NOT_JUDGED, after, limit),
    ).fetchall()
    return to_records(OpenPair, rows)
