"""Paired comparison of two policies on the same held-out questions.

The pairs are read from stored attempts; the statistics are pure. Without anything to compare the result is None, not 0.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from store.evaluation.held_out_answers import HeldOutAnswer, held_out_answers, is_oracle
from store.evaluation.intervals import mcnemar_exact, paired_score
from store.evaluation.power import power_words, smallest_difference
from store.evaluation.transfer import grouped

Turn = Literal["t1", "t2"]


@dataclass(frozen=True, slots=True)
class PairedAnswer:
    """The answers of policies a and b to one held-out question. Policy a is usually the parent of b."""

    a: HeldOutAnswer
    b: HeldOutAnswer

    @property
    def question_id(self) -> int:
        """Id of the question."""
        return self.a.question_id

    @property
    def task(self) -> str:
        """Task of the question."""
        return self.a.task

    @property
    def transfer(self) -> bool:
        """Whether the task is a transfer task."""
        return self.a.transfer


@dataclass(frozen=True, slots=True)
class Difference:
    """Accuracy of policy b minus that of policy a, with Tango's 95 % score interval over `n` questions.

    Accuracies are shares: 1 is 100 percentage points. `value`, `low`, `high` and McNemar's exact `p` are None when no
    question has a verdict for both policies.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None
    gained: tuple[int, ...]
    """Ids of the questions that only b answers right."""
    lost: tuple[int, ...]
    """Ids of the questions that only a answers right."""

    @property
    def includes_zero(self) -> bool:
        """Whether no difference is shown: the interval includes 0."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high

    @property
    def smallest(self) -> float | None:
        """The smallest difference that these questions show, as a share; None if they can't show any."""
        return smallest_difference(self.n, self._discordant)

    @property
    def power(self) -> str:
        """The smallest difference in words: `n = 57 shows differences of 13 points or more`."""
        return power_words(self.n, self._discordant)

    @property
    def _discordant(self) -> float:
        return (len(self.gained) + len(self.lost)) / self.n if self.n else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences between policy b and policy a at both turns."""

    t1: Difference
    t2: Difference


def paired_answers(
    connection: sqlite3.Connection, policy_a: int, policy_b: int, protocol: str, protocol_b: str | None = None
) -> list[PairedAnswer]:
    """Return the questions that both policies answered under a protocol, ordered by question id.

    `protocol_b` is the protocol of policy b, if it is not the same.
    """
    after = {answer.question_id: answer for answer in held_out_answers(connection, policy_b, protocol_b or protocol)}
    return [
        PairedAnswer(before, after[before.question_id])
        for before in held_out_answers(connection, policy_a, protocol)
        if before.question_id in after
    ]


def put_baseline_outcomes(
    connection: sqlite3.Connection, policy_id: int, protocol: str, correct: Mapping[tuple[int, str], bool]
) -> None:
    """Replace the stored outcomes of a policy's baselines under a protocol; inside a write transaction.

    Args:
        connection: inside a write transaction.
        policy_id: the policy.
        protocol: the protocol.
        correct: whether the answer is right, by question id and name of the baseline.
    """
    connection.execute("DELETE FROM baseline_outcomes WHERE policy_id = ? AND protocol = ?", (policy_id, protocol))
    connection.executemany(
        "INSERT INTO baseline_outcomes (policy_id, protocol, question_id, baseline, correct) VALUES (?, ?, ?, ?, ?)",
        [(policy_id, protocol, question, baseline, right) for (question, baseline), right in correct.items()],
    )


def baseline_outcomes(connection: sqlite3.Connection, policy_id: int, protocol: str) -> dict[str, dict[int, bool]]:
    """Return the outcomes of a policy's baselines: by name, whether each question is answered right.

    Questions without a verdict are left out, and so are baselines that were not measured.
    """
    found: dict[str, dict[int, bool]] = {}
    for row in connection.execute(
        "SELECT baseline, question_id, correct FROM baseline_outcomes WHERE policy_id = ? AND protocol = ?"
        " ORDER BY baseline, question_id",
        (policy_id, protocol),
    ):
        found.setdefault(row["baseline"], {})[row["question_id"]] = bool(row["correct"])
    return found


def outcomes(pairs: Iterable[PairedAnswer], turn: Turn, protocol: str) -> list[tuple[int, bool, bool]]:
    """Return (question id, a is right, b is right) at a turn; questions without a verdict for both are left out."""
    oracle, number = is_oracle(protocol), 1 if turn == "t1" else 2
    known = []
    for pair in pairs:
        was, now = pair.a.right(number, oracle=oracle), pair.b.right(number, oracle=oracle)
        if was is not None and now is not None:
            known.append((pair.question_id, was, now))
    return known


def difference(known: Sequence[tuple[int, bool, bool]]) -> Difference:
    """Compute the difference between two policies from their outcomes on the same questions, as from `outcomes`."""
    gained = tuple(question for question, was, now in known if now and not was)
    lost = tuple(question for question, was, now in known if was and not now)
    if not known:
        return Difference(None, None, None, 0, None, (), ())
    interval = paired_score(len(gained), len(lost), len(known))
    value = (len(gained) - len(lost)) / len(known)
    return Difference(
        value, interval.low, interval.high, len(known), mcnemar_exact(len(gained), len(lost)), gained, lost
    )


def compare(pairs: Sequence[PairedAnswer], protocol: str) -> Comparison:
    """Compare b with a at both turns, over the pairs of trained tasks with a verdict for both.

    Promotion rests on this comparison, so transfer tasks are not part of it.
    """
    return _compare([pair for pair in pairs if not pair.transfer], protocol)


def _compare(pairs: Sequence[PairedAnswer], protocol: str) -> Comparison:
    return Comparison(difference(outcomes(pairs, "t1", protocol)), difference(outcomes(pairs, "t2", protocol)))


def compare_policies(
    connection: sqlite3.Connection, policy_a: int, policy_b: int, protocol: str
) -> dict[tuple[str, Turn], Difference]:
    """Return b − a by task and turn, over all trained tasks (task `''`), and over the transfer tasks (`TRANSFER`).

    Empty if the policies share no question.
    """
    pairs = paired_answers(connection, policy_a, policy_b, protocol)
    found: dict[tuple[str, Turn], Difference] = {}
    for task, part in grouped(pairs, {pair.task for pair in pairs if pair.transfer}).items() if pairs else ():
        compared = _compare(part, protocol)
        found[task, "t1"], found[task, "t2"] = compared.t1, compared.t2
    return found
