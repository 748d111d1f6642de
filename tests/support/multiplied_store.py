"""Multiplies a small store into a large one, for benchmarks and for tests of what grows with the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping

from store.database.bulk import TABLES
from store.database.connection import write

_COPIED_ROWS = 50_000

_OFFSETS = {
    "question_id": "questions",
    "attempt_id": "attempts",
    "correction_id": "attempts",
    "reflection_id": "reflections",
    "rejected_reflection_id": "reflections",
}
"""Columns that refer to rows of a table in `TABLES`."""


def multiply(connection: sqlite3.Connection, times: int) -> Iterator[int]:
    """Copy the rows of `TABLES` until each exists `times` times; each copy has its own ids and questions.

    Builds a large synthetic store from a small one without composing any text again. The caller calls `finish`.
    Yields the number of stored trajectories after each transaction.

    Args:
        connection: a writer in autocommit mode.
        times: final number of copies including the original, at least 1.
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
    """Return the SQL for the value of a copy's column."""
    if column == "content_hash":
        return f"content_hash || '/{copy}'"
    named = table if column == "id" else _OFFSETS.get(column)
    return column if named is None else f"{column} + {copy * last[named]}"
