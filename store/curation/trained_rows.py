"""The rows of an iteration that a training setting trains on: pages of them, and how many there are.

Which rows these are follows from the setting's entry: a curated set, with the rows left out for some reasons; the
training questions; or the sampled first attempts at them.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.curation.records import CuratedRow
from store.curation.training_settings import TrainingSettingEntry
from store.curation.unfit_attempts import IS_FIT
from store.database.rows import to_records
from store.records import StoredAttempt

_SAMPLED = (
    "a.iteration_id = ? AND a.protocol = '' AND a.turn = 1 AND a.sample > 0 AND a.error IS NULL"
    f" AND a.verdict IN ('correct', 'incorrect') AND a.finish_reason <> 'length' AND {IS_FIT}"
)
"""Sampled first attempts with a verdict, except those cut at their maximum length (a completion is never cut) and those
that curation found unfit as answers."""


@dataclass(frozen=True, slots=True)
class TrainedRows:
    """Number of rows that a setting trains on, and of those that are left out."""

    kept: int
    left_out: int


@dataclass(frozen=True, slots=True)
class ReflectedRow:
    """A row of a curated set with the question of its reflection."""

    id: int
    reflection_id: int
    question_id: int
    task: str


def trained_page(
    connection: sqlite3.Connection, iteration_id: int, entry: TrainingSettingEntry, *, after: int = 0, limit: int = -1
) -> list[CuratedRow]:
    """Return the curated rows that a setting trains on, ordered by id, that follow the id `after`; -1 for all."""
    where, values = _condition(entry)
    return to_records(
        CuratedRow,
        connection.execute(
            "SELECT c.* FROM curated c JOIN reflections r ON r.id = c.reflection_id"
            f" WHERE c.id > ? AND +c.iteration_id = ? AND {where} ORDER BY c.id LIMIT ?",
            (after, iteration_id, *values, limit),
        ).fetchall(),
    )


def reflected_rows(
    connection: sqlite3.Connection, iteration_id: int, entry: TrainingSettingEntry
) -> list[ReflectedRow]:
    """Return the rows that a setting on a curated set trains on with their questions and tasks, ordered by id."""
    where, values = _condition(entry)
    return to_records(
        ReflectedRow,
        connection.execute(
            "SELECT c.id, c.reflection_id, a.question_id, q.task FROM curated c"
            " JOIN reflections r ON r.id = c.reflection_id JOIN attempts a ON a.id = r.attempt_id"
            f" JOIN questions q ON q.id = a.question_id WHERE c.iteration_id = ? AND {where} ORDER BY c.id",
            (iteration_id, *values),
        ).fetchall(),
    )


def sampled_attempts(
    connection: sqlite3.Connection, iteration_id: int, *, after: int = 0, questions: int = -1
) -> list[StoredAttempt]:
    """Return the sampled first attempts of an iteration with a verdict, by question and sample.

    Args:
        connection: a reader.
        iteration_id: the iteration.
        after: id of the question that the result follows.
        questions: maximum number of questions; -1 for all.
    """
    return to_records(
        StoredAttempt,
        connection.execute(
            f"SELECT a.* FROM attempts a WHERE {_SAMPLED} AND a.question_id IN (SELECT DISTINCT a.question_id"
            f" FROM attempts a WHERE {_SAMPLED} AND a.question_id > ? ORDER BY a.question_id LIMIT ?)"
            " ORDER BY a.question_id, a.sample, a.id",
            (iteration_id, iteration_id, after, questions),
        ).fetchall(),
    )


def examples_of_question(entry: TrainingSettingEntry, right: int, wrong: int, most: int) -> int:
    """Return the number of examples that a question's distinct sampled attempts give, at most `most`.

    A pair joins a right and a wrong attempt, and no two pairs are equal; otherwise each right attempt is an example.
    """
    return min(most, right * wrong if entry.paired else right)


def count_trained_rows(
    connection: sqlite3.Connection, iteration_id: int, run_id: int, entry: TrainingSettingEntry, per_question: int
) -> TrainedRows:
    """Count the rows that a setting would train on, before the checks of their tokens.

    Args:
        connection: a reader.
        iteration_id: the iteration.
        run_id: its run.
        entry: the setting.
        per_question: `curation.max_per_question`, which limits the sampled attempts of a question.
    """
    if entry.row_source == "questions":
        asked = connection.execute(
            "SELECT count(*) FROM run_questions WHERE run_id = ? AND split = 'train'", (run_id,)
        ).fetchone()[0]
        return TrainedRows(asked, 0)
    if entry.row_source == "curated":
        where, values = _condition(entry)
        total = connection.execute(
            "SELECT count(*) FROM curated WHERE iteration_id = ? AND set_name = ?", (iteration_id, entry.set_name)
        ).fetchone()[0]
        kept = connection.execute(
            "SELECT count(*) FROM curated c JOIN reflections r ON r.id = c.reflection_id"
            f" WHERE c.iteration_id = ? AND {where}",
            (iteration_id, *values),
        ).fetchone()[0]
        return TrainedRows(kept, total - kept)
    kept = possible = 0
    for right, wrong in connection.execute(
        "SELECT count(DISTINCT CASE WHEN a.verdict = 'correct' THEN a.reasoning END),"
        " count(DISTINCT CASE WHEN a.verdict = 'incorrect' THEN a.reasoning END)"
        f" FROM attempts a WHERE {_SAMPLED} GROUP BY a.question_id",
        (iteration_id,),
    ):
        made = examples_of_question(entry, right, wrong, right * max(wrong, 1))
        kept += min(made, per_question)
        possible += made
    return TrainedRows(kept, possible - kept)


def _condition(entry: TrainingSettingEntry) -> tuple[str, tuple[str | None, ...]]:
    """Return the SQL condition on `curated` c and its reflection r, with its values."""
    marks = ", ".join("?" * len(entry.left_out_reasons))
    # A reflection cut at its maximum length is no completion, whatever its correction came to.
    left_out = f" OR (c.reason IN ({marks}) AND r.finish_reason <> 'length')" if marks else ""
    return f"c.set_name = ? AND (c.included = 1{left_out})", (entry.set_name, *entry.left_out_reasons)
