"""Inserts and reads the texts of the controls: what a policy answers when something else stands where its reflection
stands.

They have a table of their own and are never attempts or reflections of a rollout, so that none can reach curation,
exports, the list of trajectories, yields or the metrics of a protocol. Each has a content key, so that inserting a
finished one again changes nothing and a restart resumes instead of repeating work.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass

from store.database.connection import storable
from store.database.rows import to_records
from store.records import ControlText, FirstAnswers, Verdict


@dataclass(frozen=True, slots=True)
class NewControl:
    """A text of the controls to insert.

    It answers the prompt on first answer `attempt_id` in which a reflection is shown: the one stored as
    `reflection_id`, the control text `shown_id`, or the literal text `shown`; none for the arms `none` and
    `other-answer`, for reflections and for judgements. `policy_id` is the measured policy, `author_id` the one that
    wrote the text. `answer` is the extracted answer (`yes` or `no` for a judgement), `answer_group` is equal for
    equivalent ones. `verdict` is None for reflections and judgements. `latency` is in seconds.
    """

    iteration_id: int
    policy_id: int
    author_id: int
    protocol: str
    first_answers: FirstAnswers
    arm: ControlText
    sample: int
    question_id: int
    attempt_id: int
    reflection_id: int | None
    shown_id: int | None
    shown: str | None
    text: str
    answer: str | None
    answer_group: str | None
    verdict: Verdict | None
    detail: str
    score: float | None
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    finish_reason: str
    seed: int | None
    prompt_version: str
    prompt_hash: str
    latency: float
    reused_from: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class StoredControl(NewControl):
    """A text of the controls as stored."""

    id: int
    created: float


_COLUMNS = tuple(NewControl.__dataclass_fields__)
_TEXTS = frozenset({"shown", "text", "answer", "answer_group", "detail", "error"})
"""Columns that may hold text of a model."""

_INSERT = (
    f"INSERT OR IGNORE INTO control_texts ({', '.join(_COLUMNS)}, created) VALUES ({', '.join('?' * len(_COLUMNS))}, ?)"
)


def insert_control(connection: sqlite3.Connection, new: NewControl) -> int:
    """Insert a text of the controls and return its id; if it is stored already, return the id of the stored one."""
    values = [
        storable(value) if name in _TEXTS and isinstance(value := getattr(new, name), str) else getattr(new, name)
        for name in _COLUMNS
    ]
    cursor = connection.execute(_INSERT, (*values, time.time()))
    if cursor.rowcount:
        return int(cursor.lastrowid or 0)
    row = connection.execute(
        "SELECT id FROM control_texts WHERE policy_id = ? AND protocol = ? AND first_answers = ? AND question_id = ?"
        " AND arm = ? AND sample = ?",
        (new.policy_id, new.protocol, new.first_answers, new.question_id, new.arm, new.sample),
    ).fetchone()
    return int(row["id"])


def control_texts(
    connection: sqlite3.Connection, policy_id: int, protocol: str, first_answers: Iterable[FirstAnswers]
) -> list[StoredControl]:
    """Return the texts of the controls of a policy under a protocol, in the order in which they were stored."""
    wanted = sorted(set(first_answers))
    marks = ", ".join("?" * len(wanted))
    return to_records(
        StoredControl,
        connection.execute(
            f"SELECT * FROM control_texts WHERE policy_id = ? AND protocol = ? AND first_answers IN ({marks})"
            " ORDER BY id",
            (policy_id, protocol, *wanted),
        ).fetchall(),
    )


def get_control(connection: sqlite3.Connection, control_id: int) -> StoredControl | None:
    """Return a text of the controls by id; None when there is none."""
    row = connection.execute("SELECT * FROM control_texts WHERE id = ?", (control_id,)).fetchone()
    return to_records(StoredControl, [row])[0] if row else None


def forget_failed_controls(connection: sqlite3.Connection, iteration_id: int) -> int:
    """Delete the error rows of an iteration's controls and the results computed with them; returns their number.

    A failed reflection has no text, so nothing shows it.
    """
    found = connection.execute(
        "SELECT DISTINCT policy_id, protocol, first_answers FROM control_texts"
        " WHERE iteration_id = ? AND error IS NOT NULL",
        (iteration_id,),
    ).fetchall()
    for row in found:
        connection.execute(
            "DELETE FROM control_results WHERE policy_id = ? AND protocol = ? AND first_answers = ?", tuple(row)
        )
    return connection.execute(
        "DELETE FROM control_texts WHERE iteration_id = ? AND error IS NOT NULL", (iteration_id,)
    ).rowcount
