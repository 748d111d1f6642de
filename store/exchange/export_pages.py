"""What an export reads: pages of attempts, of curated rows and of imported records, and what they point to.

Everything comes in pages by key, so that an export of any size holds a page in memory and no read transaction open.
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
    """A record of an imported file: which rows it became, and what they don't hold (JSON)."""

    import_id: int
    number: int
    attempt_id: int
    reflection_id: int | None
    rejected_reflection_id: int | None
    remainder: str


def attempt_page(
    connection: sqlite3.Connection, iteration_id: int, *, after: int, limit: int, every_sample: bool
) -> list[StoredAttempt]:
    """Attempts 1 made for the training data of an iteration, those that failed left out, in the order of their ids.

    Args:
        connection: a reader.
        iteration_id: the iteration.
        after: an id; not included.
        limit: most rows.
        every_sample: also those beside *the* attempt, as imports have of a question that they hold several times.
    """
    # The plus keeps SQLite on the ids: the index on iterations would sort the whole iteration for each page.
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
    """Included rows of a set, in the order of their ids, which follow `after`."""
    return to_records(
        CuratedRow,
        connection.execute(
            "SELECT * FROM curated WHERE id > ? AND +iteration_id = ? AND set_name = ? AND included = 1"
            " ORDER BY id LIMIT ?",
            (after, iteration_id, set_name, limit),
        ).fetchall(),
    )


def import_page(connection: sqlite3.Connection, import_id: int, *, after: int, limit: int) -> list[StoredImportRecord]:
    """Records of an import in the order of the file, whose numbers follow `after`."""
    return to_records(
        StoredImportRecord,
        connection.execute(
            "SELECT * FROM import_records WHERE import_id = ? AND number > ? ORDER BY number LIMIT ?",
            (import_id, after, limit),
        ).fetchall(),
    )


def question_page(connection: sqlite3.Connection, run_id: int, *, after: int, limit: int) -> list[StoredQuestion]:
    """Training questions of a run, in the order of their ids, which follow `after`."""
    return to_records(
        StoredQuestion,
        connection.execute(
            "SELECT q.* FROM run_questions rq JOIN questions q ON q.id = rq.question_id"
            " WHERE rq.run_id = ? AND rq.question_id > ? AND rq.split = 'train' ORDER BY rq.question_id LIMIT ?",
            (run_id, after, limit),
        ).fetchall(),
    )


def record_of_attempt(connection: sqlite3.Connection, attempt_id: int) -> tuple[StoredImportRecord, str] | None:
    """The first imported record that holds an attempt, and the format it came in."""
    row = connection.execute(
        "SELECT r.*, i.format FROM import_records r JOIN imports i ON i.id = r.import_id WHERE r.attempt_id = ?"
        " ORDER BY r.number LIMIT 1",
        (attempt_id,),
    ).fetchone()
    return (to_record(StoredImportRecord, row), row["format"]) if row else None


def import_texts(connection: sqlite3.Connection, digests: Iterable[str]) -> dict[str, str]:
    """Shared texts of imported records, by digest."""
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
    """Questions, by id."""
    return {one.id: one for one in _by(connection, StoredQuestion, "questions", "id", ids)}


def attempts_by_id(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, StoredAttempt]:
    """Attempts of any turn, by id."""
    return {one.id: one for one in _by(connection, StoredAttempt, "attempts", "id", ids)}


def reflections_by_id(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, StoredReflection]:
    """Reflections, by id."""
    return {one.id: one for one in _by(connection, StoredReflection, "reflections", "id", ids)}


def reflections_on(connection: sqlite3.Connection, attempt_ids: Iterable[int]) -> dict[int, list[StoredReflection]]:
    """Reflections that didn't fail, in order, by the attempt they are on."""
    found: defaultdict[int, list[StoredReflection]] = defaultdict(list)
    for one in _by(connection, StoredReflection, "reflections", "attempt_id", attempt_ids):
        if one.error is None:
            found[one.attempt_id].append(one)
    return found


def corrections_of(connection: sqlite3.Connection, reflection_ids: Iterable[int]) -> dict[int, StoredAttempt]:
    """The correction of each reflection that has one which didn't fail."""
    found: dict[int, StoredAttempt] = {}
    for one in _by(connection, StoredAttempt, "attempts", "reflection_id", reflection_ids):
        if one.error is None and one.reflection_id is not None:
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
