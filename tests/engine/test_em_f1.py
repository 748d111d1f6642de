"""Tests of free-text grading: every verified answer counts with its F1 score, and an exact match with 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.evaluation.answer_outcomes import Answer, QuestionAnswers
from engine.evaluation.em_f1 import grade, graded
from engine.evaluation.metrics import NOTHING
from engine.evaluation.protocol import answered, measure
from engine.rollout.plan import gather_done
from store.rollouts.attempts import rollout_attempts, rollout_reflections
from store.runs.runs import run_questions
from tests.support.rows import Rows, run_settings

EXACT = Answer("correct", exact=True, f1=1.0)
CLOSE = Answer("incorrect", exact=False, f1=0.6)
FAR = Answer("incorrect", exact=False, f1=0.2)
NONE = Answer("incorrect", exact=False, f1=0.0)
UNSURE = Answer("unverified")


def rows(*turns: tuple[Answer, ...]) -> list[QuestionAnswers]:
    return [QuestionAnswers(number, "t", taken) for number, taken in enumerate(turns)]


def test_exact_matches_count_with_f1_1_and_the_denominator_is_what_was_judged() -> None:
    """Trap 5: exact matches that were logged without an F1 were counted as 0, and everything divided by 500."""
    assert grade(verdict="correct", score=None, exact=True) == (True, 1.0)
    assert grade(verdict="correct", score=None, exact=False) == (False, 1.0)
    assert grade(verdict="incorrect", score=None, exact=False) == (False, 0.0)
    assert grade(verdict="incorrect", score=0.4, exact=False) == (False, 0.4)
    assert grade(verdict="unverified", score=0.4, exact=False) == (None, None)
    found = graded(rows((EXACT,), (FAR, CLOSE), (CLOSE, FAR), (UNSURE,)), protocol="oracle")
    assert (found["em_t1"].value, found["em_t1"].n) == (1 / 3, 3)
    assert (found["f1_t1"].value, found["f1_t1"].n) == (pytest.approx((1 + 0.2 + 0.6) / 3), 3)
    assert (found["f1_t2"].value, found["f1_t2"].n) == (pytest.approx((1 + 0.6 + 0.2) / 3), 3)
    assert (found["f1_improved"].value, found["f1_improved"].n) == (0.5, 2)


def test_without_an_oracle_a_right_answer_can_lose() -> None:
    """Trap 3 in F1: the newest answer counts."""
    found = graded(rows((EXACT, FAR), (NONE, EXACT)), protocol="oracle-free")
    assert (found["em_t1"].value, found["em_t2"].value) == (0.5, 0.5)
    assert found["f1_t2"].value == pytest.approx(0.6)
    assert found["f1_improved"].value == 0.5
    kept = graded(rows((EXACT, FAR)), protocol="oracle")
    assert kept["f1_t2"].value == 1.0


def test_a_turn_2_that_is_missing_or_unverified_is_left_out() -> None:
    """An unanswered turn is not an F1 of 0."""
    found = graded(rows((FAR, UNSURE), (FAR,), (FAR, EXACT)), protocol="oracle")
    assert (found["f1_t2"].value, found["f1_t2"].n) == (1.0, 1)
    assert found["f1_t1"].n == 3
    only = graded(rows((FAR,)), protocol="oracle")
    assert only["f1_t2"] == only["f1_improved"] == NOTHING


def test_tasks_that_are_not_graded_have_no_f1() -> None:
    """A letter is right or wrong; a mean F1 over letters and texts would be neither."""
    assert graded(rows((Answer("correct"),)), protocol="oracle") == {}


def test_grades_come_from_stored_scores_of_free_text_alone(tmp_path: Path) -> None:
    """The score of another verifier is no F1; any accepted answer is an exact match."""
    settings = run_settings()
    made = Rows(tmp_path / "reflectevo.db")
    for task, answer, verdict, score in (
        ("facts", "the Paris.", "correct", 1.0),
        ("facts", "Paris in France", "incorrect", 0.5),
        ("quiz", "A", "incorrect", 0.5),
    ):
        question = made.question(f"{task} {answer}", task=task, reference="Paris")
        made.attempt(question, verdict, answer=answer, score=score)  # type: ignore[arg-type]
    done = gather_done(
        rollout_attempts(made.connection, made.iteration), rollout_reflections(made.connection, made.iteration)
    )
    questions = run_questions(made.connection, made.run, "train")
    kinds = {"facts": "free_text", "quiz": "choice"}
    metrics = measure(answered(questions, done, kinds), "oracle", settings)
    assert (metrics["facts"]["em_t1"].value, metrics["facts"]["f1_t1"].value) == (0.5, 0.75)
    assert (metrics[""]["f1_t1"].value, metrics[""]["f1_t1"].n) == (0.75, 2)
    assert "f1_t1" not in metrics["quiz"]
    several = replace(questions[1], payload={"references": ["London", "Paris in France"]})
    assert [row.turns[0].exact for row in answered([several], done, kinds)] == [True]
    made.connection.close()
