"""Queries of exports: pages of attempts, curated rows and imported records, and the rows they refer to.

All results are paged by key, so that an export of any size keeps one page in memory and no read transaction open.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from store.curation.records import CuratedRow
from store.curation.training_settings import SetName
from store.database.rows import Record, to_record, to_records
from store.records import StoredAttempt, StoredQuestion, StoredReflection

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class StoredImportRecord:
    """A record of an imported file: the rows it was stored as, and the remaining content as JSON (`remainder`)."""

    import_id: int
    number: int
    attempt_id: int
    reflection_id: int | None
    rejected_reflection_id: int | None
    remainder: str


def attempt_page(
    connection: sqlite3.Connection, iteration_id: int, *, after: int, limit: int, every_sample: bool
) -> list[StoredAttempt]:
    """Return a page of the first attempts in an iteration's training data, ordered by id; failed ones are left out.

    Args:
        connection: a reader.
        iteration_id: the iteration.
        after: the id that the page follows.
        limit: maximum number of rows.
        every_sample: include further attempts on the same question, which imports may have.
    """
    # The plus makes SQLite walk the ids; with the index on iterations it would sort the whole iteration for each page.
    return to_records(
        StoredAttempt,
        connection.execute(
            "SELECT * FROM attempts WHERE id > ? AND +iteration_id = ? AND protocol = '' AND turn = 1"
            " AND error IS NULL AND (sample = 0 OR ?) ORDER BY id LIMIT ?",
            (after, iteration_id, every_sample, limit),
        ).fetchall(),
    )


def curated_page(
    connection: sqlite3.Connection, iteration_id: int, set_name: SetName, *, after: int, limit: int
) -> list[CuratedRow]:
    """Return a page of the included rows of a set, ordered by id, that follows the id `after`."""
    return to_records(
        CuratedRow,
        connection.execute(
            "SELECT * FROM curated WHERE id > ? AND +iteration_id = ? AND set_name = ? AND included = 1"
            " ORDER BY id LIMIT ?",
            (after, iteration_id, set_name, limit),
        ).fetchall(),
    )


def import_page(connection: sqlite3.Connection, import_id: int, *, after: int, limit: int) -> list[StoredImportRecord]:
    """Return a page of the records of an import, in the order of the file, that follows the record number `after`."""
    return to_records(
        StoredImportRecord,
        connection.execute(
            "SELECT * FROM import_records WHERE import_id = ? AND number > ? ORDER BY number LIMIT ?",
            (import_id, after, limit),
        ).fetchall(),
    )


def question_page(connection: sqlite3.Connection, run_id: int, *, after: int, limit: int) -> list[StoredQuestion]:
    """Return a page of the training questions of a run, ordered by id, that follows the id `after`."""
    return to_records(
        StoredQuestion,
        connection.execute(
            "SELECT q.* FROM run_questions rq JOIN questions q ON q.id = rq.question_id"
            " WHERE rq.run_id = ? AND rq.question_id > ? AND rq.split = 'train' ORDER BY rq.question_id LIMIT ?",
            (run_id, after, limit),
        ).fetchall(),
    )


def record_of_attempt(connection: sqlite3.Connection, attempt_id: int) -> tuple[StoredImportRecord, str] | None:
    """Return the first imported record of an attempt with the format of its file; None if it wasn't imported."""
    row = connection.execute(
        "SELECT r.*, i.format FROM import_records r JOIN imports i ON i.id = r.import_id WHERE r.attempt_id = ?"
        " ORDER BY r.number LIMIT 1",
        (attempt_id,),
    ).fetchone()
    return (to_record(StoredImportRecord, row), row["format"]) if row else None


def import_texts(connection: sqlite3.Connection, digests: Iterable[str]) -> dict[str, str]:
    """Return shared texts of imported records, by digest."""
    found: dict[str, str] = {}
    for part in _parts(digests):
        found.update(
            tuple(row)
            for row in connection.execute(
                f"SELECT digest, text FROM import_texts WHERE digest IN ({_marks(part)})", part
            )
        )
    return found


def questions_by_id(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, StoredQuestion]:
    """Return questions by id."""
    return {one.id: one for one in _by(connection, StoredQuestion, "questions", "id", ids)}


def attempts_by_id(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, StoredAttempt]:
    """Return attempts of any turn by id."""
    return {one.id: one for one in _by(connection, StoredAttempt, "attempts", "id", ids)}


def reflections_by_id(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, StoredReflection]:
    """Return reflections by id."""
    return {one.id: one for one in _by(connection, StoredReflection, "reflections", "id", ids)}


def reflections_on(connection: sqlite3.Connection, attempt_ids: Iterable[int]) -> dict[int, list[StoredReflection]]:
    """Return the reflections on some attempts by attempt id, ordered by id; failed ones are left out."""
    found: defaultdict[int, list[StoredReflection]] = defaultdict(list)
    for one in _by(connection, StoredReflection, "reflections", "attempt_id", attempt_ids):
        if one.error is None:
            found[one.attempt_id].append(one)
    return found


def corrections_of(connection: sqlite3.Connection, reflection_ids: Iterable[int]) -> dict[int, StoredAttempt]:
    """Return the corrections of some reflections by reflection id; failed ones and further samples are left out."""
    found: dict[int, StoredAttempt] = {}
    for one in _by(connection, StoredAttempt, "attempts", "reflection_id", reflection_ids):
        if one.error is None and one.reflection_id is not None and not one.sample:
            found.setdefault(one.reflection_id, one)
    return found


def _by(
    connection: sqlite3.Connection, kind: type[Record], table: str, column: str, values: Iterable[int]
) -> list[Record]:
    found: list[Record] = []
    for part in _parts(values):
        rows = connection.execute(
            f"SELECT * FROM {table} WHERE {column} IN ({_marks(part)}) ORDER BY id", part
        ).fetchall()
        found += to_records(kind, rows)
    return found


def _parts(values: Iterable[Any]) -> Iterable[list[Any]]:
    listed = sorted(set(values))
    return (listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK))


def _marks(part: list[Any]) -> str:
    return ", ".join("?" * len(part))
