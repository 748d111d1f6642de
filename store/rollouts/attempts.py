"""Inserts and reads attempts, reflections and corrections.

Each of them has a content key, so inserting a finished one again changes nothing; a restart therefore resumes instead
of repeating work. A trajectory row is inserted in the same transaction as its last part.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from store.database.connection import storable
from store.database.rows import to_records
from store.records import ReviewState, StoredAttempt, StoredReflection, Verdict
from store.rollouts.control_texts import forget_failed_controls
from store.rollouts.thoughts import ThoughtOf, add_thought, copy_thought


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """The columns that attempts and reflections have in common. `latency` is in seconds.

    `reused_from` is the id of the stored text that this one copies; it was not generated again.
    """

    iteration_id: int | None
    policy_id: int
    protocol: str
    sample: int
    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    seed: int | None
    prompt_version: str
    prompt_hash: str
    latency: float
    error: str | None
    reused_from: int | None = None
    thought: str = ""
    """What was thought before the text; stored apart, see `store.rollouts.thoughts`."""
    thought_tokens: int = 0


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """An attempt to insert. `reflection_id` is None on turn 1 and for a retry without reflection.

    Sample 0 of turn 1 is the attempt itself; higher samples are votes of the majority-vote baseline, or the further
    attempts of `attempt.samples`. Sample 0 with a reflection is the correction that belongs to its trajectory; higher
    samples only measure the lift of the reflection.
    """

    generation: NewGeneration
    question_id: int
    turn: int
    reflection_id: int | None
    answer: str | None
    verdict: Verdict
    detail: str
    score: float | None


@dataclass(frozen=True, slots=True)
class NewReflection:
    """A reflection to insert. `flags` are separated by blanks."""

    generation: NewGeneration
    attempt_id: int
    instruction: str
    flags: str


def insert_attempt(connection: sqlite3.Connection, attempt: NewAttempt) -> int:
    """Insert an attempt and return its id; if it is stored already, return the id of the stored one."""
    new = attempt.generation
    cursor = connection.execute(
        "INSERT OR IGNORE INTO attempts (iteration_id, question_id, policy_id, protocol, turn, reflection_id, sample,"
        " reasoning, answer, verdict, detail, score, prompt_tokens, completion_tokens, finish_reason, seed,"
        " prompt_version, prompt_hash, latency, reused_from, error, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.iteration_id,
            attempt.question_id,
            new.policy_id,
            new.protocol,
            attempt.turn,
            attempt.reflection_id,
            new.sample,
            storable(new.text),
            None if attempt.answer is None else storable(attempt.answer),
            attempt.verdict,
            storable(attempt.detail),
            attempt.score,
            new.prompt_tokens,
            new.completion_tokens,
            new.finish_reason,
            new.seed,
            new.prompt_version,
            new.prompt_hash,
            new.latency,
            new.reused_from,
            None if new.error is None else storable(new.error),
            time.time(),
        ),
    )
    if cursor.rowcount:
        return _with_thought(connection, "attempt", int(cursor.lastrowid or 0), new)
    scope = "policy_id" if new.protocol else "iteration_id"
    row = connection.execute(
        f"SELECT id FROM attempts WHERE {scope} = ? AND protocol = ? AND question_id = ? AND turn = ?"
        " AND ifnull(reflection_id, 0) = ? AND sample = ?",
        (
            new.policy_id if new.protocol else new.iteration_id,
            new.protocol,
            attempt.question_id,
            attempt.turn,
            attempt.reflection_id or 0,
            new.sample,
        ),
    ).fetchone()
    return int(row["id"])


def _with_thought(connection: sqlite3.Connection, of: ThoughtOf, row_id: int, new: NewGeneration) -> int:
    """Store the thought of a new row, or that of the row which it copies; returns the row's id."""
    if new.thought:
        add_thought(connection, of, row_id, new.thought, new.thought_tokens)
    elif new.reused_from is not None:
        copy_thought(connection, of, row_id, new.reused_from)
    return row_id


def insert_reflection(connection: sqlite3.Connection, reflection: NewReflection) -> int:
    """Insert a reflection and return its id; if it is stored already, return the id of the stored one."""
    new = reflection.generation
    cursor = connection.execute(
        "INSERT OR IGNORE INTO reflections (iteration_id, attempt_id, instruction, sample, policy_id, protocol, text,"
        " prompt_tokens, completion_tokens, finish_reason, seed, prompt_version, prompt_hash, latency, flags,"
        " reused_from, error, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            new.iteration_id,
            reflection.attempt_id,
            reflection.instruction,
            new.sample,
            new.policy_id,
            new.protocol,
            storable(new.text),
            new.prompt_tokens,
            new.completion_tokens,
            new.finish_reason,
            new.seed,
            new.prompt_version,
            new.prompt_hash,
            new.latency,
            reflection.flags,
            new.reused_from,
            None if new.error is None else storable(new.error),
            time.time(),
        ),
    )
    if cursor.rowcount:
        return _with_thought(connection, "reflection", int(cursor.lastrowid or 0), new)
    row = connection.execute(
        "SELECT id FROM reflections WHERE attempt_id = ? AND ifnull(iteration_id, 0) = ? AND protocol = ?"
        " AND instruction = ? AND sample = ?",
        (reflection.attempt_id, new.iteration_id or 0, new.protocol, reflection.instruction, new.sample),
    ).fetchone()
    return int(row["id"])


_INITIAL: Mapping[Verdict, str] = {"correct": "c", "incorrect": "i", "unverified": "u"}


def finish_trajectory(
    connection: sqlite3.Connection, attempt_id: int, reflection_id: int | None, correction_id: int | None
) -> None:
    """Insert the list row of a finished trajectory and add its text to the search index; idempotent."""
    attempt = connection.execute(
        "SELECT a.iteration_id, a.policy_id, a.question_id, a.verdict, coalesce(rq.split, q.split) AS split, q.task,"
        " q.domain FROM attempts a JOIN questions q ON q.id = a.question_id JOIN policies p ON p.id = a.policy_id"
        " LEFT JOIN run_questions rq ON rq.run_id = p.run_id AND rq.question_id = a.question_id WHERE a.id = ?",
        (attempt_id,),
    ).fetchone()
    transition, instruction, flags = _INITIAL[attempt["verdict"]], "", ""
    if reflection_id is not None:
        reflection = connection.execute(
            "SELECT instruction, flags FROM reflections WHERE id = ?", (reflection_id,)
        ).fetchone()
        instruction, flags = reflection["instruction"], reflection["flags"]
    if correction_id is not None:
        verdict = connection.execute("SELECT verdict FROM attempts WHERE id = ?", (correction_id,)).fetchone()[0]
        transition += f"→{_INITIAL[verdict]}"
    cursor = connection.execute(
        "INSERT OR IGNORE INTO trajectories (iteration_id, policy_id, question_id, attempt_id, reflection_id,"
        " correction_id, split, task, domain, transition, instruction, flags)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            attempt["iteration_id"],
            attempt["policy_id"],
            attempt["question_id"],
            attempt_id,
            reflection_id,
            correction_id,
            attempt["split"],
            attempt["task"],
            attempt["domain"],
            transition,
            instruction,
            flags,
        ),
    )
    if cursor.rowcount:
        connection.execute(
            "INSERT INTO trajectory_search (rowid, question, reasoning, reflection)"
            " SELECT id, question, reasoning, reflection FROM trajectory_text WHERE id = ?",
            (cursor.lastrowid,),
        )


def rollout_attempts(connection: sqlite3.Connection, iteration_id: int) -> list[StoredAttempt]:
    """Return the attempts of all turns in the training rollouts of an iteration."""
    return to_records(
        StoredAttempt,
        connection.execute(
            "SELECT * FROM attempts WHERE iteration_id = ? AND protocol = '' ORDER BY id", (iteration_id,)
        ).fetchall(),
    )


def rollout_reflections(connection: sqlite3.Connection, iteration_id: int) -> list[StoredReflection]:
    """Return the reflections in the training rollouts of an iteration."""
    return to_records(
        StoredReflection,
        connection.execute(
            "SELECT * FROM reflections WHERE iteration_id = ? AND protocol = '' ORDER BY id", (iteration_id,)
        ).fetchall(),
    )


def evaluation_attempts(connection: sqlite3.Connection, policy_id: int, protocol: str) -> list[StoredAttempt]:
    """Return the attempts of a policy on held-out questions under a protocol."""
    return to_records(
        StoredAttempt,
        connection.execute(
            "SELECT * FROM attempts WHERE policy_id = ? AND protocol = ? ORDER BY id", (policy_id, protocol)
        ).fetchall(),
    )


def evaluation_reflections(connection: sqlite3.Connection, policy_id: int, protocol: str) -> list[StoredReflection]:
    """Return the reflections of a policy on its held-out answers under a protocol."""
    return to_records(
        StoredReflection,
        connection.execute(
            "SELECT r.* FROM reflections r JOIN attempts a ON a.id = r.attempt_id"
            " WHERE a.policy_id = ? AND a.protocol = ? ORDER BY r.id",
            (policy_id, protocol),
        ).fetchall(),
    )


def reviewed(connection: sqlite3.Connection, iteration_id: int) -> dict[int, ReviewState]:
    """Return the newest decision on each reviewed reflection of an iteration, by reflection id; `clear` removes it."""
    rows = connection.execute(
        "SELECT v.reflection_id, v.decision FROM reviews v JOIN reflections r ON r.id = v.reflection_id"
        " WHERE r.iteration_id = ? ORDER BY v.id",
        (iteration_id,),
    ).fetchall()
    newest = {row["reflection_id"]: row["decision"] for row in rows}
    return {reflection_id: decision for reflection_id, decision in newest.items() if decision != "clear"}


def instruction_yields(
    connection: sqlite3.Connection, run_id: int, before: int
) -> dict[tuple[str, str], tuple[int, int]]:
    """Count the right corrections of wrong attempts, and all corrections of wrong attempts, by task and instruction.

    Counts a run's rollouts before training iteration number `before`.
    """
    rows = connection.execute(
        "SELECT t.task, t.instruction, sum(t.transition = 'i→c') AS good, count(*) AS tried"
        " FROM trajectories t JOIN iterations i ON i.id = t.iteration_id"
        " WHERE i.run_id = ? AND i.kind = 'training' AND i.number < ? AND t.split = 'train'"
        " AND t.correction_id IS NOT NULL AND t.transition LIKE 'i→%'"
        " GROUP BY t.task, t.instruction",
        (run_id, before),
    ).fetchall()
    return {(row["task"], row["instruction"]): (int(row["good"]), int(row["tried"])) for row in rows}


def forget_failures(connection: sqlite3.Connection, iteration_id: int, *, held_out_only: bool = False) -> int:
    """Delete the error rows of an iteration, so that they are generated again; returns their number.

    An error row has no text, so no generated text is lost. Its curated rows are deleted with it; a failed reflection
    with a review is kept. `held_out_only` keeps the rows of training rollouts.
    """
    wanted = "iteration_id = ?1 AND error IS NOT NULL" + (" AND protocol <> ''" if held_out_only else "")
    attempts = f"SELECT id FROM attempts WHERE {wanted}"
    reflections = f"SELECT id FROM reflections WHERE {wanted} AND id NOT IN (SELECT reflection_id FROM reviews)"
    for condition in (
        f"correction_id IN ({attempts})",
        f"reflection_id IN ({reflections})",
        f"reflection_id IS NULL AND attempt_id IN ({attempts})",
    ):
        for row in connection.execute(f"SELECT id FROM trajectories WHERE {condition}", (iteration_id,)).fetchall():
            # An external-content index needs the old values to delete a row.
            connection.execute(
                "INSERT INTO trajectory_search (trajectory_search, rowid, question, reasoning, reflection)"
                " SELECT 'delete', id, question, reasoning, reflection FROM trajectory_text WHERE id = ?",
                (row["id"],),
            )
            connection.execute("DELETE FROM trajectories WHERE id = ?", (row["id"],))
    connection.execute(f"DELETE FROM curated WHERE correction_id IN ({attempts})", (iteration_id,))
    dropped = connection.execute(f"DELETE FROM attempts WHERE id IN ({attempts})", (iteration_id,)).rowcount
    dropped += connection.execute(f"DELETE FROM reflections WHERE id IN ({reflections})", (iteration_id,)).rowcount
    return dropped + forget_failed_controls(connection, iteration_id)


def get_attempt(connection: sqlite3.Connection, attempt_id: int, *, first_turn: bool = False) -> StoredAttempt | None:
    """Return an attempt by id, or with `first_turn` the attempt of turn 1 that belongs to it; None when missing."""
    row = connection.execute("SELECT * FROM attempts WHERE id = ?", (attempt_id,)).fetchone()
    if row is not None and first_turn:
        # Rollouts belong to an iteration, held-out answers to a policy and a protocol (see the index `attempts_work`).
        scope = "policy_id" if row["protocol"] else "iteration_id"
        row = connection.execute(
            f"SELECT * FROM attempts WHERE {scope} = ? AND protocol = ? AND question_id = ?"
            " AND turn = 1 AND sample = 0",
            (row[scope], row["protocol"], row["question_id"]),
        ).fetchone()
    return to_records(StoredAttempt, [row])[0] if row else None


def get_reflection(connection: sqlite3.Connection, reflection_id: int) -> StoredReflection | None:
    """Return a reflection by id; None when there is none."""
    row = connection.execute("SELECT * FROM reflections WHERE id = ?", (reflection_id,)).fetchone()
    return to_records(StoredReflection, [row])[0] if row else None
