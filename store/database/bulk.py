"""Writes whole tables at once, for synthetic stores and imports: many rows a transaction, the search index at the end.

Rows written here skip what the engine's own functions do one by one (content keys, list rows, the index), so the caller
gives complete rows and calls `finish`. Knows nothing of what the rows say.
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
    "reviews": tuple("reflection_id decision error_kind note reviewer created".split()),
}
"""The tables that can be filled in bulk, with the columns that a row gives, in their order."""

BATCH_ROWS = 20_000
"""Rows of one transaction: large enough to be fast, small enough that a reader's WAL stays bounded."""

_MERGED_PAGES = 20_000
"""Pages of the search index that one transaction merges, so that the WAL stays bounded."""


def insert_tables(connection: sqlite3.Connection, tables: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """Insert complete rows of several tables in one transaction.

    Args:
        connection: a writer in autocommit mode.
        tables: rows by the name of their table, each row in the order of the columns in `TABLES`.
    """
    # Corrections name reflections, which name attempts. A deferred check would scan every table that may name a row, so
    # `finish` checks all of them once instead.
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
    """A training reflection and what came of it. `review` is the newest decision, empty for none."""

    attempt: int
    reflection: int
    correction: int
    helped: bool
    review: str


def outcomes(connection: sqlite3.Connection, iteration_id: int) -> Iterator[Outcome]:
    """The reflections of an iteration with their outcomes, question by question."""
    for row in connection.execute(
        "SELECT attempt_id, reflection_id, correction_id, transition, review FROM trajectories"
        " WHERE iteration_id = ? AND split = 'train' AND correction_id IS NOT NULL ORDER BY id",
        (iteration_id,),
    ):
        yield Outcome(row[0], row[1], row[2], row[3] == "i→c", row[4])


def finish(connection: sqlite3.Connection) -> None:
    """Check that every row that is named is there, index the text of every trajectory, and fold the WAL back.

    Raises:
        StorageRefused: when rows are missing; the database is then not to be used.
    """
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise StorageRefused(f"{len(broken)} rows name others that are not there, the first in {broken[0][0]!r}")
    connection.execute("INSERT INTO trajectory_search (trajectory_search) VALUES ('rebuild')")
    # What a rebuild leaves unmerged, later inserts would have to merge.
    before = -2
    while connection.total_changes - before > 1:
        before = connection.total_changes
        connection.execute(
            "INSERT INTO trajectory_search (trajectory_search, rank) VALUES ('merge', ?)", (-_MERGED_PAGES,)
        )
    checkpoint(connection)
