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

_COPIED_ROWS = 50_000

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


_OFFSETS = {
    "question_id": "questions",
    "attempt_id": "attempts",
    "correction_id": "attempts",
    "reflection_id": "reflections",
    "rejected_reflection_id": "reflections",
}
"""Columns that name rows of a table in `TABLES`."""


def multiply(connection: sqlite3.Connection, times: int) -> Iterator[int]:
    """Repeat everything that `TABLES` hold until it is there so many times; each copy has ids and questions of its own.

    Makes a large synthetic store out of a small one without a text being put together again. The caller calls `finish`.
    Yields the number of trajectories that are there, after each transaction.

    Args:
        connection: a writer in autocommit mode.
        times: how often everything is there in the end, at least 1.
    """
    last = {table: _greatest(connection, table) for table in TABLES if table != "run_questions"}
    keys = {table: "question_id" if table == "run_questions" else "id" for table in TABLES}
    last["run_questions"] = last["questions"]
    for copy in range(1, times):
        for table, columns in TABLES.items():
            made = [_copied(table, column, copy, last) for column in columns]
            for start in range(0, last[table], _COPIED_ROWS):
                connection.execute("PRAGMA foreign_keys = OFF")
                try:
                    with write(connection):
                        connection.execute(
                            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(made)} FROM {table}"
                            f" WHERE {keys[table]} > ? AND {keys[table]} <= ?",
                            (start, min(start + _COPIED_ROWS, last[table])),
                        )
                finally:
                    connection.execute("PRAGMA foreign_keys = ON")
        yield last["trajectories"] * (copy + 1)


def _greatest(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()[0])


def _copied(table: str, column: str, copy: int, last: Mapping[str, int]) -> str:
    """What a copy has in a column, as SQL."""
    if column == "content_hash":
        return f"content_hash || '/{copy}'"
    named = table if column == "id" else _OFFSETS.get(column)
    return column if named is None else f"{column} + {copy * last[named]}"


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
