"""Two policies on the same held-out questions: what each answered, and what the difference comes to.

The pairs come from stored attempts; the statistics are pure. Nothing to compare gives None, never 0.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from store.evaluation.intervals import bootstrap_mean, mcnemar_exact
from store.records import Verdict

Turn = Literal["t1", "t2"]


@dataclass(frozen=True, slots=True)
class PairedVerdict:
    """One held-out question that both policies answered. `a` is the first policy, usually the parent.

    A second verdict is None when turn 2 was not taken.
    """

    question_id: int
    task: str
    a_t1: Verdict
    a_t2: Verdict | None
    b_t1: Verdict
    b_t2: Verdict | None


@dataclass(frozen=True, slots=True)
class Difference:
    """Policy b − policy a as a share (1 is 100 points), with a 95 % bootstrap interval over `n` questions.

    `value`, `low`, `high` and McNemar's exact `p` are None when no question has both verdicts.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None
    gained: tuple[int, ...]
    """Questions that only b answers right."""
    lost: tuple[int, ...]
    """Questions that only a answers right."""


def _answers(connection: sqlite3.Connection, policy_id: int, protocol: str) -> dict[int, sqlite3.Row]:
    """Task and verdicts of turn 1 and of turn 2 (after the first reflection) of each question a policy answered."""
    rows = connection.execute(
        "SELECT a.question_id, q.task, a.verdict AS t1,"
        " (SELECT c.verdict FROM reflections r JOIN attempts c ON c.reflection_id = r.id"
        "  WHERE r.attempt_id = a.id AND r.protocol = a.protocol AND c.protocol = a.protocol AND c.turn = 2"
        "  ORDER BY r.sample, c.sample, c.id LIMIT 1) AS t2"
        " FROM attempts a JOIN questions q ON q.id = a.question_id"
        " WHERE a.policy_id = ? AND a.protocol = ? AND a.turn = 1 AND a.sample = 0",
        (policy_id, protocol),
    ).fetchall()
    return {row["question_id"]: row for row in rows}


def paired_verdicts(connection: sqlite3.Connection, policy_a: int, policy_b: int, protocol: str) -> list[PairedVerdict]:
    """The questions that two policies both answered under a protocol, by question id."""
    before, after = _answers(connection, policy_a, protocol), _answers(connection, policy_b, protocol)
    return [
        PairedVerdict(
            question,
            before[question]["task"],
            before[question]["t1"],
            before[question]["t2"],
            after[question]["t1"],
            after[question]["t2"],
        )
        for question in sorted(before.keys() & after.keys())
    ]


def put_baseline_outcomes(
    connection: sqlite3.Connection, policy_id: int, protocol: str, correct: Mapping[tuple[int, str], bool]
) -> None:
    """Store which held-out questions each baseline of a policy answers right, by question and baseline."""
    connection.execute("DELETE FROM baseline_outcomes WHERE policy_id = ? AND protocol = ?", (policy_id, protocol))
    connection.executemany(
        "INSERT INTO baseline_outcomes (policy_id, protocol, question_id, baseline, correct) VALUES (?, ?, ?, ?, ?)",
        [(policy_id, protocol, question, baseline, right) for (question, baseline), right in correct.items()],
    )


def baseline_outcomes(connection: sqlite3.Connection, policy_id: int, protocol: str) -> dict[str, dict[int, bool]]:
    """For each baseline of a policy that was measured: which questions it answers right. Questions without a verdict
    are in none."""
    found: dict[str, dict[int, bool]] = {}
    for row in connection.execute(
        "SELECT baseline, question_id, correct FROM baseline_outcomes WHERE policy_id = ? AND protocol = ?"
        " ORDER BY baseline, question_id",
        (policy_id, protocol),
    ):
        found.setdefault(row["baseline"], {})[row["question_id"]] = bool(row["correct"])
    return found


def is_oracle(protocol: str) -> bool:
    """Whether a protocol takes turn 2 for wrong answers only, so that a right turn 1 stays right."""
    return protocol.partition("/")[0] == "oracle"


def _right(t1: Verdict, t2: Verdict | None, turn: Turn, oracle: bool) -> bool | None:
    """Whether an answer is right at a turn; None when that isn't known."""
    if t1 == "unverified":
        return None
    if turn == "t1" or (oracle and t1 == "correct"):
        return t1 == "correct"
    return None if t2 in (None, "unverified") else t2 == "correct"


def outcomes(pairs: Iterable[PairedVerdict], turn: Turn, protocol: str) -> list[tuple[int, bool, bool]]:
    """Question id, and whether a and b are right at a turn; questions without both verdicts are left out."""
    oracle = is_oracle(protocol)
    known = []
    for pair in pairs:
        was, now = _right(pair.a_t1, pair.a_t2, turn, oracle), _right(pair.b_t1, pair.b_t2, turn, oracle)
        if was is not None and now is not None:
            known.append((pair.question_id, was, now))
    return known


def difference(known: Sequence[tuple[int, bool, bool]], seed: int = 0) -> Difference:
    """What the outcomes of two policies on the same questions come to; the same seed gives the same interval."""
    gained = tuple(question for question, was, now in known if now and not was)
    lost = tuple(question for question, was, now in known if was and not now)
    if not known:
        return Difference(None, None, None, 0, None, (), ())
    interval = bootstrap_mean([int(now) - int(was) for _, was, now in known], seed)
    value = (len(gained) - len(lost)) / len(known)
    return Difference(
        value, interval.low, interval.high, len(known), mcnemar_exact(len(gained), len(lost)), gained, lost
    )


def compare_policies(
    connection: sqlite3.Connection, policy_a: int, policy_b: int, protocol: str, seed: int = 0
) -> dict[tuple[str, Turn], Difference]:
    """b − a at both turns, by task and of all tasks together (task `''`); empty when they share no question."""
    pairs = paired_verdicts(connection, policy_a, policy_b, protocol)
    tasks = sorted({pair.task for pair in pairs})
    turns: tuple[Turn, ...] = ("t1", "t2")
    return {
        (task, turn): difference(outcomes([pair for pair in pairs if task in ("", pair.task)], turn, protocol), seed)
        for task in (["", *tasks] if pairs else [])
        for turn in turns
    }
