"""Bulk inserts into tables, for synthetic stores and imports: many rows per transaction, the search index at the end.

This skips what the engine's own functions do row by row (content keys, list rows, the search index), so the caller
passes complete rows and then calls `finish`. Knows nothing about the meaning of the rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from store.database.connection import checkpoint, write
from store.errors import StorageRefused

TABLES: dict[str, tuple[str, ...]] = {
    "questions": tuple("id task domain split text options reference payload content_hash".split()),
    "run_questions": ("run_id", "question_id", "split"),
    "attempts": tuple(
        "id iteration_id question_id policy_id protocol turn reflection_id sample reasoning answer verdict detail score"
        " prompt_tokens completion_tokens finish_reason seed prompt_version prompt_hash latency created".split()
    ),
    "reflections": tuple(
        "id iteration_id attempt_id instruction sample policy_id protocol text prompt_tokens completion_tokens"
        " finish_reason seed prompt_version prompt_hash latency flags created".split()
    ),
    "trajectories": tuple(
        "id iteration_id policy_id question_id attempt_id reflection_id correction_id split task domain transition"
        " instruction review flags".split()
    ),
    "curated": tuple(
        "iteration_id set_name reflection_id rejected_reflection_id correction_id included reason".split()
    ),
    "reviews": tuple("reflection_id decision error_kind names_error note reviewer created".split()),
}
"""The tables that can be filled in bulk, with the columns of a row in order."""

BATCH_ROWS = 20_000
"""Rows per transaction: enough to be fast, but few enough that the WAL stays bounded while readers are active."""

_MERGED_PAGES = 20_000
"""Pages of the search index merged per transaction, so that the WAL stays bounded."""


def insert_tables(connection: sqlite3.Connection, tables: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """Insert complete rows of several tables in one transaction.

    Args:
        connection: a writer in autocommit mode.
        tables: rows by the name of their table, each row in the order of the columns in `TABLES`.
    """
    # Corrections refer to reflections, which refer to attempts. A deferred check would scan every table that may refer
    # to a row, so `finish` checks all references once instead.
    connection.execute("PRAGMA foreign_keys = OFF")
    try:
        with write(connection):
            for table, rows in tables.items():
                columns = TABLES[table]
                marks = ", ".join("?" * len(columns))
                connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
    finally:
        connection.execute("PRAGMA foreign_keys = ON")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A training reflection and its outcome. `review` is the newest decision, empty for none."""

    attempt: int
    reflection: int
    correction: int
    helped: bool
    review: str


def outcomes(connection: sqlite3.Connection, iteration_id: int) -> Iterator[Outcome]:
    """Yield the reflections of an iteration with their outcomes, in the order of their trajectories."""
    for row in connection.execute(
        "SELECT attempt_id, reflection_id, correction_id, transition, review FROM trajectories"
        " WHERE iteration_id = ? AND split = 'train' AND correction_id IS NOT NULL ORDER BY id",
        (iteration_id,),
    ):
        yield Outcome(row[0], row[1], row[2], row[3] == "i→c", row[4])


def finish(connection: sqlite3.Connection) -> None:
    """Check all references between rows, build the search index of all trajectories, and checkpoint the WAL.

    Raises:
        StorageRefused: rows refer to missing ones; the database must not be used then.
    """
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise StorageRefused(f"{len(broken)} rows name others that are not there, the first in {broken[0][0]!r}")
    connection.execute("INSERT INTO trajectory_search (trajectory_search) VALUES ('rebuild')")
    # Segments that a rebuild leaves unmerged would have to be merged by later inserts.
    before = -2
    while connection.total_changes - before > 1:
        before = connection.total_changes
        connection.execute(
            "INSERT INTO trajectory_search (trajectory_search, rank) VALUES ('merge', ?)", (-_MERGED_PAGES,)
        )
    checkpoint(connection)
