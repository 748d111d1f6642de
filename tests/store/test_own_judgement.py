"""Tests of the analysis of a policy's own judgement against scikit-learn's definition, and of degenerate input."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.evaluation.own_judgement import (
    ALWAYS,
    JudgedAnswer,
    analyse_judgement,
    auroc,
    confidence,
    stored_threshold,
    threshold_curve,
)

CONFIDENCES = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=12)


@given(CONFIDENCES, CONFIDENCES)
def test_auroc_is_the_share_of_ordered_pairs(right: list[float], wrong: list[float]) -> None:
    """Ties count half, by the definition over all pairs."""
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in itertools.product(right, wrong)]
    assert auroc(right, wrong) == pytest.approx(sum(pairs) / len(pairs))


def test_a_policy_that_knows_reflects_on_its_wrong_answers_only() -> None:
    """The threshold that separates them has the highest accuracy, and is the one chosen on dev."""
    rows = [JudgedAnswer(n, 0.875 if n % 2 else 0.125, bool(n % 2), second=not n % 2) for n in range(20)]
    found = analyse_judgement(rows)
    assert (found.auroc, found.accuracy.value, found.right.value) == (1.0, 1.0, 0.5)
    assert found.best_threshold == 0.875
    assert [point.accuracy for point in found.curve] == [0.5, 0.5, 1.0, 0.5]
    assert found.curve[0].reflected == 0 and found.curve[-1].reflected == 1
    assert found.calibration_error == pytest.approx(0.125)
    assert (found.threshold, found.accuracy_at_threshold.n) == (None, 0)
    measured = analyse_judgement(rows, found.best_threshold)
    assert measured.accuracy_at_threshold.value == 1.0
    assert [one.n for one in found.bins] == [0, 10, 0, 0, 0, 0, 0, 0, 10, 0]


def test_nothing_is_divided_by_zero() -> None:
    """Without answers, readable replies, one of the classes, or corrections, the numbers are missing with a reason."""
    empty = analyse_judgement([])
    assert (empty.n, empty.auroc, empty.accuracy.value, empty.calibration_error, empty.curve) == (
        0,
        None,
        None,
        None,
        (),
    )
    assert empty.notes == ("no first answer was judged",)
    unread = analyse_judgement([JudgedAnswer(1, None, True)])
    assert unread.unreadable == 1 and unread.n == 0
    alike = analyse_judgement([JudgedAnswer(1, 1.0, True)])
    assert alike.auroc is None and any("all first answers are right" in note for note in alike.notes)
    assert any("evaluation.protocol" in note for note in alike.notes)
    assert threshold_curve([]) == ()
    assert [point.threshold for point in threshold_curve([(0.0, True, False)])] == [0.0, ALWAYS]


def test_confidence_is_the_share_of_yes_among_readable_replies() -> None:
    """Replies that are neither don't count."""
    assert confidence(["yes", "no", None, "yes"]) == pytest.approx(2 / 3)
    assert confidence([None]) is None
    assert confidence([]) is None


def test_the_threshold_comes_from_dev_questions_only() -> None:
    """Of several results the newest counts; those on test questions never do."""
    dev = {"split": "dev", "judgement": {"best_threshold": 0.25}}
    test = {"split": "test", "judgement": {"best_threshold": 0.75}}
    assert stored_threshold([dev, test]) == 0.25
    assert stored_threshold([test, {"split": "dev", "judgement": None}]) is None
