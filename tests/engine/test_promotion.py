"""Tests of the promotion rule: by default, a child that lost to its parent must not become the next parent."""

from __future__ import annotations

import pytest

from engine.evaluation.promotion import decide, describe, summarise
from store.evaluation.comparisons import Comparison, Difference, PairedAnswer, compare
from store.evaluation.held_out_answers import HeldOutAnswer


def difference(value: float, low: float, high: float) -> Difference:
    """A paired difference of shares."""
    return Difference(value, low, high, 20, 0.04, (), ())


def comparison(first: Difference, second: Difference) -> Comparison:
    """Child against parent on both turns."""
    return Comparison(first, second)


SAME = difference(0.0, -0.1, 0.1)
ORACLE = "oracle/0123456789"
NOTHING = Difference(None, None, None, 0, None, (), ())


@pytest.mark.parametrize(
    ("rule", "first", "second", "state"),
    [
        ("not-worse", SAME, SAME, "promoted"),
        ("not-worse", SAME, difference(0.1, -0.1, 0.3), "promoted"),
        ("not-worse", SAME, difference(-0.01, -0.2, 0.2), "rejected"),
        ("not-worse", difference(-0.1, -0.3, 0.1), SAME, "promoted"),
        ("not-worse", difference(-0.3, -0.4, -0.1), difference(0.2, 0.1, 0.3), "rejected"),
        ("not-worse", difference(-0.3, -0.4, 0.0), difference(0.2, 0.1, 0.3), "promoted"),
        ("not-worse", NOTHING, NOTHING, "promoted"),
        ("always", difference(-0.3, -0.4, -0.1), difference(-0.3, -0.4, -0.1), "promoted"),
        ("operator", SAME, difference(-0.1, -0.2, 0.0), "rejected"),
    ],
)
def test_the_rule(rule: str, first: Difference, second: Difference, state: str) -> None:
    """A fallen Acc@t2 rejects, and so does an Acc@t1 that fell by more than chance; `always` promotes."""
    assert decide(rule, comparison(first, second)).state == state  # type: ignore[arg-type]


def test_the_reason_says_what_was_measured() -> None:
    """The lineage stores the numbers behind a decision, in points and with their interval."""
    found = comparison(difference(0.05, -0.1, 0.2), difference(-0.1, -0.2, 0.05))
    decision = decide("not-worse", found)
    assert decision.reason == f"worse than its parent; {summarise(found)}"
    assert "Acc@t1 +5.0 points (−10.0 to +20.0)" in decision.reason
    assert "Acc@t2 −10.0 points (−20.0 to +5.0)" in decision.reason
    assert "n = 20" in decision.reason


@pytest.mark.parametrize(
    ("p", "words"),
    [(0.0004, "p < 0.001"), (0.0, "p < 0.001"), (0.001, "p = 0.001"), (0.04, "p = 0.040"), (1.0, "p = 1.00")],
)
def test_a_small_p_is_not_said_to_be_zero(p: float, words: str) -> None:
    """`p = 0.00` suggests certainty, which no test of 90 questions gives."""
    assert f", {words}, " in describe("Acc@t2", Difference(0.256, 0.156, 0.367, 90, p, (), ()))


def test_no_common_question_is_said_and_promotes() -> None:
    """Without held-out questions nothing was lost, and the reason doesn't invent a number."""
    assert describe("Acc@t1", NOTHING) == "Acc@t1: no question was judged for both"
    empty = compare([], ORACLE)
    assert decide("not-worse", empty).state == "promoted"


def test_a_child_that_answers_as_its_parent_is_not_worse() -> None:
    """From answers to decision: equal verdicts promote, one lost question under the oracle rejects."""
    right = [HeldOutAnswer(n, "quiz", "correct", None, True, None) for n in range(19)]
    fixed = HeldOutAnswer(19, "quiz", "incorrect", "correct", True, True)
    still_wrong = HeldOutAnswer(19, "quiz", "incorrect", "incorrect", True, True)
    same = [PairedAnswer(one, one) for one in (*right, fixed)]
    assert decide("not-worse", compare(same, ORACLE)).state == "promoted"
    worse = [*(PairedAnswer(one, one) for one in right), PairedAnswer(fixed, still_wrong)]
    assert decide("not-worse", compare(worse, ORACLE)).state == "rejected"
