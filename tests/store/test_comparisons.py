"""Tests the comparison of two policies: only questions that both answered, turn 2 as defined by the protocol."""

from __future__ import annotations

import pytest

from store.evaluation.comparisons import PairedAnswer, compare, compare_policies, difference, outcomes, paired_answers
from store.evaluation.held_out_answers import HeldOutAnswer
from store.evaluation.intervals import mcnemar_exact
from tests.support.measured import ORACLE, answer_held_out, measured_run
from tests.support.rows import Rows

FREE = "oracle-free/0123456789"


def answer(question: int, t1: str, t2: str | None) -> HeldOutAnswer:
    """Return a held-out answer with the given verdicts."""
    return HeldOutAnswer(question, "quiz", t1, t2, True, None if t2 is None else True)  # type: ignore[arg-type]


def test_pairs_are_the_questions_that_both_answered(rows: Rows) -> None:
    """A question that one policy has not answered yet must not count for either."""
    questions = [rows.question(f"q{n}", split="test") for n in range(3)]
    child = rows.add_policy("p01", parent=rows.policy, state="candidate")
    answer_held_out(rows, rows.policy, ORACLE, dict.fromkeys(questions, ("incorrect", "correct")))
    answer_held_out(rows, child, ORACLE, {questions[0]: ("correct", None), questions[2]: ("incorrect", "incorrect")})
    answer_held_out(rows, child, FREE, {questions[1]: ("correct", "incorrect")})
    found = paired_answers(rows.connection, rows.policy, child, ORACLE)
    assert [(pair.question_id, pair.task, pair.a.t1, pair.a.t2, pair.b.t1, pair.b.t2) for pair in found] == [
        (questions[0], "quiz", "incorrect", "correct", "correct", None),
        (questions[2], "quiz", "incorrect", "correct", "incorrect", "incorrect"),
    ]
    assert paired_answers(rows.connection, rows.policy, child, FREE) == []
    assert compare_policies(rows.connection, rows.policy, child, FREE) == {}


def test_a_retry_is_not_taken_for_a_correction(rows: Rows) -> None:
    """Both are turn 2; only the one after a reflection is Acc@t2."""
    question = rows.question("q", split="test")
    child = rows.add_policy("p01", parent=rows.policy, state="candidate")
    rows.attempt(question, "correct", turn=2, protocol=ORACLE)
    for policy in (rows.policy, child):
        answer_held_out(rows, policy, ORACLE, {question: ("incorrect", "incorrect")})
    (pair,) = paired_answers(rows.connection, rows.policy, child, ORACLE)
    assert (pair.a.t2, pair.b.t2) == ("incorrect", "incorrect")


@pytest.mark.parametrize(
    ("protocol", "a", "b", "expected"),
    [
        (ORACLE, ("correct", None), ("incorrect", "correct"), (True, True)),
        (FREE, ("correct", "incorrect"), ("correct", "correct"), (False, True)),
        (FREE, ("correct", None), ("correct", "correct"), None),
        (ORACLE, ("incorrect", None), ("incorrect", "correct"), None),
        (ORACLE, ("incorrect", "unverified"), ("incorrect", "correct"), None),
        (ORACLE, ("unverified", None), ("correct", None), None),
    ],
)
def test_turn_two_is_what_the_protocol_says(
    protocol: str,
    a: tuple[str, str | None],
    b: tuple[str, str | None],
    expected: tuple[bool, bool] | None,
) -> None:
    """With an oracle a right answer stays right; without one, an answer not given or not verified is unknown."""
    pair = PairedAnswer(answer(1, *a), answer(1, *b))
    assert outcomes([pair], "t2", protocol) == ([] if expected is None else [(1, *expected)])


def test_the_difference_has_flips_interval_and_p(rows: Rows) -> None:
    """Computed by hand: 7 gained, 1 lost of 8."""
    child = measured_run(rows)
    found = compare_policies(rows.connection, rows.policy, child, ORACLE)
    assert set(found) == {(task, turn) for task in ("", "quiz", "sums") for turn in ("t1", "t2")}
    second = found["", "t2"]
    assert (len(second.gained), len(second.lost), second.n) == (7, 1, 8)
    assert second.value == pytest.approx(6 / 8)
    assert second.p == mcnemar_exact(7, 1) == pytest.approx(2 * (1 + 8) / 2**8)
    assert second.low is not None and second.high is not None and 0 < second.low <= 0.75 <= second.high <= 1
    first = found["", "t1"]
    assert (first.value, len(first.gained), len(first.lost)) == (0.0, 1, 1)
    assert compare_policies(rows.connection, rows.policy, child, ORACLE) == found


def test_no_difference_is_stated_with_its_power() -> None:
    """Four answers alike and two changed each way: the interval includes 0 and is no point, even without a change."""
    found = difference([(n, n < 4, n in (0, 1, 4, 5)) for n in range(30)])
    assert (found.value, len(found.gained), len(found.lost)) == (0.0, 2, 2) and found.includes_zero
    assert found.low is not None and found.high is not None and found.low == pytest.approx(-found.high)
    assert found.power == "n = 30 shows differences of 24 points or more"
    alike = difference([(n, n < 4, n < 4) for n in range(30)])
    assert alike.low is not None and alike.low < 0 and alike.includes_zero
    assert difference([]).smallest is None and difference([]).power == "no question was answered by both"


def test_nothing_in_common_is_not_a_difference_of_zero() -> None:
    """A report must print 'not measured'."""
    nothing = difference([])
    assert (nothing.value, nothing.low, nothing.high, nothing.p, nothing.n) == (None, None, None, None, 0)


def test_flips_are_listed_both_ways_and_unverified_answers_left_out() -> None:
    """Questions on which only one policy has a verdict don't count."""
    parent = [("correct", None), ("incorrect", "incorrect"), ("incorrect", "correct"), ("correct", None)]
    child = [("incorrect", "correct"), ("correct", None), ("correct", None), ("unverified", None)]
    pairs = [PairedAnswer(answer(n, *a), answer(n, *b)) for n, (a, b) in enumerate(zip(parent, child, strict=True))]
    found = compare(pairs, ORACLE)
    assert (found.t1.gained, found.t1.lost, found.t1.n, found.t1.p) == ((1, 2), (0,), 3, 1.0)
    assert found.t1.value == pytest.approx(1 / 3)
    assert (found.t2.gained, found.t2.lost) == ((1,), ())
    assert compare([], ORACLE).t1 == difference([])
