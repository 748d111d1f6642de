"""One trajectory in full: its question, texts, siblings, and the lift of its reflection."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.database.rows import to_record
from store.records import StoredAttempt, StoredQuestion, StoredReflection, TrajectoryRow
from store.rollouts.lift import ReflectionLift, stored_lift
from store.rollouts.thoughts import Thought, get_thought

ITERATION_NUMBER = "iif(i.kind = 'training', i.number, NULL)"
"""SQL for the number of a row's training iteration; NULL for evaluations, which are numbered separately."""


@dataclass(frozen=True, slots=True)
class TrajectoryDetail:
    """All data of one trajectory. `siblings` are the ids of all trajectories of the same attempt, in order.

    `lift` holds the shares that come right with and without the reflection; None where they weren't sampled.
    """

    row: TrajectoryRow
    question: StoredQuestion
    attempt: StoredAttempt
    reflection: StoredReflection | None
    correction: StoredAttempt | None
    policy: str
    siblings: tuple[int, ...]
    lift: ReflectionLift | None = None
    attempt_thought: Thought | None = None
    reflection_thought: Thought | None = None
    correction_thought: Thought | None = None


def detail(connection: sqlite3.Connection, trajectory_id: int) -> TrajectoryDetail | None:
    """Return one trajectory with all its parts; None when there is none with that id, or its question or attempt is
    gone."""
    row = connection.execute(
        f"SELECT t.*, {ITERATION_NUMBER} AS iteration, p.name AS policy, '' AS excerpt FROM trajectories t"
        " LEFT JOIN iterations i ON i.id = t.iteration_id LEFT JOIN policies p ON p.id = t.policy_id WHERE t.id = ?",
        (trajectory_id,),
    ).fetchone()
    if row is None:
        return None
    question = connection.execute("SELECT * FROM questions WHERE id = ?", (row["question_id"],)).fetchone()
    attempt = _attempt(connection, row["attempt_id"])
    if question is None or attempt is None:
        return None
    made = connection.execute("SELECT * FROM reflections WHERE id = ?", (row["reflection_id"],)).fetchone()
    reflection = None if made is None else to_record(StoredReflection, made)
    siblings = connection.execute(
        "SELECT id FROM trajectories WHERE attempt_id = ? ORDER BY id", (row["attempt_id"],)
    ).fetchall()
    return TrajectoryDetail(
        row=to_record(TrajectoryRow, row),
        question=to_record(StoredQuestion, question),
        attempt=attempt,
        reflection=reflection,
        correction=None if row["correction_id"] is None else _attempt(connection, row["correction_id"]),
        policy=row["policy"] or "",
        siblings=tuple(sibling["id"] for sibling in siblings),
        lift=stored_lift(row),
        attempt_thought=get_thought(connection, "attempt", row["attempt_id"]),
        reflection_thought=get_thought(connection, "reflection", row["reflection_id"] or 0),
        correction_thought=get_thought(connection, "attempt", row["correction_id"] or 0),
    )


def _attempt(connection: sqlite3.Connection, attempt_id: int) -> StoredAttempt | None:
    row = connection.execute("SELECT * FROM attempts WHERE id = ?", (attempt_id,)).fetchone()
    return None if row is None else to_record(StoredAttempt, row)
