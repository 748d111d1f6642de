"""Runs: named experiments with their questions and worked examples."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from store.database.connection import storable
from store.database.rows import dump_json, to_record, to_records
from store.records import JsonObject, Run, RunOrigin, RunState, Split, StoredQuestion


def add_run(
    connection: sqlite3.Connection,
    name: str,
    base_model: str,
    settings: JsonObject,
    base_directory: str,
    origin: RunOrigin = "engine",
) -> int:
    """Insert a run in state `new`; returns its id. `origin` is `engine`, `import` or `synthetic`."""
    cursor = connection.execute(
        "INSERT INTO runs (name, base_model, settings, base_directory, origin, created) VALUES (?, ?, ?, ?, ?, ?)",
        (name, storable(base_model), dump_json(settings), storable(base_directory), origin, time.time()),
    )
    return int(cursor.lastrowid or 0)


def run_named(connection: sqlite3.Connection, name: str) -> Run | None:
    """Return the run of that name, if there is one."""
    row = connection.execute("SELECT * FROM runs WHERE name = ?", (name,)).fetchone()
    return to_record(Run, row) if row else None


def get_run(connection: sqlite3.Connection, run_id: int) -> Run:
    """Return the run with that id, which must exist."""
    return to_record(Run, connection.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone())


def list_runs(connection: sqlite3.Connection) -> list[Run]:
    """Return all runs, oldest first."""
    return to_records(Run, connection.execute("SELECT * FROM runs ORDER BY id").fetchall())


def set_run_state(connection: sqlite3.Connection, run_id: int, state: RunState, error: str | None = None) -> None:
    """Set the state of a run: `ready`, `failed` (with the error) or `new` again."""
    connection.execute("UPDATE runs SET state = ?, error = ? WHERE id = ?", (state, error, run_id))


def add_questions(
    connection: sqlite3.Connection,
    run_id: int,
    rows: Iterable[tuple[str, str, str, str, Sequence[str], str, JsonObject, str]],
    draw: int = 0,
) -> None:
    """Insert questions and assign them to a run; one that is stored already is only assigned.

    Args:
        connection: inside a write transaction.
        run_id: the run they are assigned to.
        rows: tuples of task, domain, split, text, options, reference, payload, content hash.
        draw: which draw of dev questions they belong to.
    """
    for task, domain, split, text, options, reference, payload, content_hash in rows:
        connection.execute(
            "INSERT OR IGNORE INTO questions (task, domain, split, text, options, reference, payload, content_hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                task,
                domain,
                split,
                storable(text),
                dump_json(list(options)),
                storable(reference),
                dump_json(payload),
                content_hash,
            ),
        )
        connection.execute(
            "INSERT OR IGNORE INTO run_questions (run_id, question_id, split, draw)"
            " SELECT ?, id, ?, ? FROM questions WHERE content_hash = ?",
            (run_id, split, draw, content_hash),
        )


class FewShot(NamedTuple):
    """A worked example for prompts, with a wrong attempt and the reflection on it if the operator provided them."""

    question: str
    answer: str
    attempt: str | None = None
    reflection: str | None = None


def add_few_shots(connection: sqlite3.Connection, run_id: int, task: str, examples: Sequence[FewShot]) -> None:
    """Store the worked examples of a task, in the order in which prompts show them."""
    connection.executemany(
        "INSERT OR REPLACE INTO few_shots (run_id, task, position, question, answer, attempt, reflection)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (run_id, task, position, *(text if text is None else storable(text) for text in example))
            for position, example in enumerate(examples)
        ],
    )


def few_shots(connection: sqlite3.Connection, run_id: int) -> dict[str, list[FewShot]]:
    """Return the worked examples of a run by task, in order."""
    found: dict[str, list[FewShot]] = {}
    for task, *example in connection.execute(
        "SELECT task, question, answer, attempt, reflection FROM few_shots WHERE run_id = ? ORDER BY task, position",
        (run_id,),
    ):
        found.setdefault(task, []).append(FewShot(*example))
    return found


def get_question(connection: sqlite3.Connection, question_id: int) -> StoredQuestion:
    """Return the question with that id, which must exist."""
    row = connection.execute("SELECT * FROM questions WHERE id = ?", (question_id,)).fetchone()
    return to_record(StoredQuestion, row)


def dev_draws(connection: sqlite3.Connection, run_id: int) -> set[int]:
    """Return the numbers of the draws of dev questions that a run has; the first is 0."""
    return {
        row[0]
        for row in connection.execute(
            "SELECT DISTINCT draw FROM run_questions WHERE run_id = ? AND split = 'dev'", (run_id,)
        )
    }


def run_questions(connection: sqlite3.Connection, run_id: int, split: Split, draw: int = 0) -> list[StoredQuestion]:
    """Return a run's questions of one split, in a stable order.

    Splits are per run: two runs of a workspace may split the same questions differently. Of the dev questions of each
    task, only those of its newest draw up to `draw` are returned: not every task can draw new ones.
    """
    rows = connection.execute(
        "WITH newest AS ("
        "  SELECT q.task, max(rq.draw) AS draw FROM run_questions rq JOIN questions q ON q.id = rq.question_id"
        "  WHERE rq.run_id = ?1 AND rq.split = ?2 AND rq.draw <= ?3 GROUP BY q.task)"
        " SELECT q.id, q.task, q.domain, rq.split, q.text, q.options, q.reference, q.payload, q.content_hash"
        " FROM run_questions rq JOIN questions q ON q.id = rq.question_id"
        " JOIN newest ON newest.task = q.task AND newest.draw = rq.draw"
        " WHERE rq.run_id = ?1 AND rq.split = ?2 ORDER BY q.id",
        (run_id, split, draw),
    ).fetchall()
    return to_records(StoredQuestion, rows)
