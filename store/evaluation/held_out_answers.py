"""Answers of a policy to held-out questions: verdicts, and whether an answer could be extracted from the reply."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.evaluation.transfer import transfer_tasks_of_policy
from store.records import Verdict


def is_oracle(protocol: str) -> bool:
    """Return whether a protocol has a turn 2 for wrong answers only, so that an answer right at turn 1 stays right."""
    return protocol.partition("/")[0] == "oracle"


@dataclass(frozen=True, slots=True)
class HeldOutAnswer:
    """The answer to one question at both turns; turn 2 is None if there was none."""

    question_id: int
    task: str
    t1: Verdict
    t2: Verdict | None
    t1_read: bool
    """Whether an answer, right or wrong, could be extracted from the reply at turn 1."""
    t2_read: bool | None
    transfer: bool = False
    """Whether the task is a transfer task, whose answers no mean of the trained tasks contains."""

    def right(self, turn: int, *, oracle: bool) -> bool | None:
        """Return whether the answer is right at turn 1 or 2; None without a verdict.

        With an oracle, an answer right at turn 1 is right at turn 2.
        """
        if self.t1 == "unverified":
            return None
        if turn == 1 or (oracle and self.t1 == "correct"):
            return self.t1 == "correct"
        return None if self.t2 in (None, "unverified") else self.t2 == "correct"

    def read(self, turn: int, *, oracle: bool) -> bool | None:
        """Return whether an answer could be extracted at turn 1 or 2; None without a verdict."""
        if self.right(turn, oracle=oracle) is None:
            return None
        return self.t1_read if turn == 1 or (oracle and self.t1 == "correct") else self.t2_read


def held_out_answers(connection: sqlite3.Connection, policy_id: int, protocol: str) -> list[HeldOutAnswer]:
    """Return the answers of a policy under a protocol, ordered by question id, those to transfer tasks among them."""
    transfer = transfer_tasks_of_policy(connection, policy_id)
    rows = connection.execute(
        "SELECT a.question_id, q.task, a.verdict AS t1, a.answer IS NOT NULL AS t1_read, c.verdict AS t2,"
        " c.answer IS NOT NULL AS t2_read FROM attempts a JOIN questions q ON q.id = a.question_id"
        " LEFT JOIN attempts c ON c.id = ("
        "  SELECT later.id FROM reflections r JOIN attempts later ON later.reflection_id = r.id"
        "  WHERE r.attempt_id = a.id AND r.protocol = a.protocol AND later.protocol = a.protocol AND later.turn = 2"
        "  ORDER BY r.sample, later.sample, later.id LIMIT 1)"
        " WHERE a.policy_id = ? AND a.protocol = ? AND a.turn = 1 AND a.sample = 0 ORDER BY a.question_id",
        (policy_id, protocol),
    ).fetchall()
    return [
        HeldOutAnswer(
            row["question_id"],
            row["task"],
            row["t1"],
            row["t2"],
            bool(row["t1_read"]),
            None if row["t2"] is None else bool(row["t2_read"]),
            row["task"] in transfer,
        )
        for row in rows
    ]


def outcomes_at(answers: list[HeldOutAnswer], turn: int, protocol: str) -> dict[int, bool]:
    """Return whether each question is answered right at a turn, by question id; without a verdict it is left out."""
    oracle = is_oracle(protocol)
    return {one.question_id: right for one in answers if (right := one.right(turn, oracle=oracle)) is not None}


@dataclass(frozen=True, slots=True)
class ReferenceAnswers:
    """Distribution of a task's reference answers, from which the accuracy of a constant answer follows.

    `different` counts distinct answers, `commonest_count` the questions whose answer is `commonest`; `second` is the
    second commonest, None if all have the same.
    """

    task: str
    questions: int
    different: int
    commonest: str
    commonest_count: int
    second: str | None = None


def reference_answers(connection: sqlite3.Connection, run_id: int, split: str) -> list[ReferenceAnswers]:
    """Return the distribution of reference answers of a run's questions in a split, one entry per task."""
    counts: dict[str, list[tuple[str, int]]] = {}
    for task, reference, n in connection.execute(
        "SELECT q.task, q.reference, count(*) FROM run_questions rq JOIN questions q ON q.id = rq.question_id"
        " WHERE rq.run_id = ? AND rq.split = ? GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2",
        (run_id, split),
    ):
        counts.setdefault(task, []).append((reference, n))
    return [
        ReferenceAnswers(task, sum(n for _, n in found), len(found), *found[0], found[1][0] if len(found) > 1 else None)
        for task, found in counts.items()
    ]
