"""Tests the held-out answers behind reports: right or wrong at each turn, readable or not, or unknown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from store.database.connection import write
from store.evaluation.comparisons import baseline_outcomes, put_baseline_outcomes
from store.evaluation.held_out_answers import HeldOutAnswer, held_out_answers, outcomes_at, reference_answers
from tests.support.rows import Rows

PROTOCOL = "oracle/0123456789"


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    made = Rows(tmp_path / "reflectevo.db")
    yield made
    made.connection.close()


def test_turns_and_readable_answers_are_told_apart(rows: Rows) -> None:
    """A retry is no second turn, an answer under another protocol does not count, and a missing turn is not a wrong
    one.
    """
    with write(rows.connection):
        right, fixed, lost, open_ = (rows.question(name, split="test") for name in ("right", "fixed", "lost", "open"))
        rows.attempt(right, "correct", protocol=PROTOCOL, answer="A")
        first = rows.attempt(fixed, "incorrect", protocol=PROTOCOL, answer=None)
        rows.attempt(fixed, "incorrect", protocol=PROTOCOL, turn=2, sample=0, answer="B")  # a retry
        reflection = rows.reflection(first, "general", protocol=PROTOCOL)
        rows.attempt(fixed, "correct", protocol=PROTOCOL, turn=2, reflection=reflection, answer="A")
        second = rows.attempt(lost, "incorrect", protocol=PROTOCOL, answer="C")
        reflection = rows.reflection(second, "general", protocol=PROTOCOL)
        rows.attempt(lost, "incorrect", protocol=PROTOCOL, turn=2, reflection=reflection)
        rows.attempt(open_, "incorrect", protocol=PROTOCOL, answer="C")
        rows.attempt(open_, "correct", protocol="oracle-free/0123456789", answer="A")
        # Sampled answers of a vote are not first answers.
        rows.attempt(right, "incorrect", protocol=PROTOCOL, sample=1, answer="B")
    found = held_out_answers(rows.connection, rows.policy, PROTOCOL)
    assert found == [
        HeldOutAnswer(right, "quiz", "correct", None, True, None),
        HeldOutAnswer(fixed, "quiz", "incorrect", "correct", False, True),
        HeldOutAnswer(lost, "quiz", "incorrect", "incorrect", True, False),
        HeldOutAnswer(open_, "quiz", "incorrect", None, True, None),
    ]
    assert outcomes_at(found, 1, PROTOCOL) == {right: True, fixed: False, lost: False, open_: False}
    assert outcomes_at(found, 2, PROTOCOL) == {right: True, fixed: True, lost: False}, (
        "with an oracle right stays right"
    )
    assert outcomes_at(found, 2, "oracle-free/x") == {fixed: True, lost: False}
    assert [one.read(2, oracle=True) for one in found] == [True, True, False, None]


def test_unverified_answers_are_neither_right_nor_wrong() -> None:
    """They count in no denominator."""
    unsure = HeldOutAnswer(1, "quiz", "unverified", None, True, None)
    then = HeldOutAnswer(2, "quiz", "incorrect", "unverified", True, True)
    assert unsure.right(1, oracle=True) is None and unsure.read(1, oracle=True) is None
    assert then.right(1, oracle=True) is False and then.right(2, oracle=True) is None


def test_outcomes_of_baselines_are_replaced_as_a_whole(rows: Rows) -> None:
    """A new measurement replaces all earlier values."""
    with write(rows.connection):
        put_baseline_outcomes(rows.connection, rows.policy, PROTOCOL, {(1, "vote"): True, (2, "vote"): False})
        put_baseline_outcomes(rows.connection, rows.policy, "other", {(1, "vote"): False})
        put_baseline_outcomes(rows.connection, rows.policy, PROTOCOL, {(2, "vote"): True, (2, "retry"): False})
    assert baseline_outcomes(rows.connection, rows.policy, PROTOCOL) == {"vote": {2: True}, "retry": {2: False}}


def test_a_constant_answer_is_known_by_task(rows: Rows) -> None:
    """Return the accuracy of always giving the most frequent answer, for the requested split alone."""
    with write(rows.connection):
        for number, reference in enumerate(("1", "1", "2")):
            rows.question(f"count {number}", task="letters", split="test", reference=reference)
        rows.question("another", task="letters", split="train", reference="9")
    (found,) = reference_answers(rows.connection, rows.run, "test")
    assert (found.task, found.questions, found.different) == ("letters", 3, 2)
    assert (found.commonest, found.commonest_count) == ("1", 2)
