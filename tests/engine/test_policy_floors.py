"""Floors from a run's stored questions: what each task kind says of options and answers, and old evaluations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation.policy_floors import add_missing_floors, floor_question, floors_by_task, pairs_of_run
from store.evaluation.floors import FirstAnswer
from store.records import StoredQuestion
from store.runs import runs
from store.runs.policies import evaluations
from tests.support.measured import ORACLE, answer_held_out, measured_run, share
from tests.support.rows import Rows


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    made = Rows(tmp_path / "store.db")
    yield made
    made.connection.close()


def stored(reference: str, *, options: tuple[str, ...] = (), **payload: Any) -> StoredQuestion:
    return StoredQuestion(1, "quiz", "reasoning", "test", "Which?", options, reference, payload, "hash")


def test_options_are_counted_where_they_are_stored() -> None:
    """In fields of their own or, as in LogiQA, found in the question; an unknown number stays unknown."""
    assert floor_question(stored("A", options=("x", "y", "z")), "choice").options == 3
    assert floor_question(stored("A", options=(), letters="ABCD", **{"options_": 1}), "choice").options is None
    in_text = StoredQuestion(
        1, "quiz", "", "test", "Which?", (), "A", {"options": {"A": "x", "B": "y", "C": "z", "D": "w"}}, "hash"
    )
    assert floor_question(in_text, "choice").options == 4
    broken = StoredQuestion(1, "quiz", "", "test", "Which?", (), "A", {"options": ["x"]}, "hash")
    assert floor_question(broken, "choice").options is None


def test_the_options_of_a_generated_dataset_are_no_options_of_its_questions() -> None:
    payload = {"dataset": "letter_counting", "options": {"min_words": 3, "max_words": 5}, "entry": {}}
    question = StoredQuestion(1, "count", "", "test", "How many?", (), "2", payload, "hash")
    assert floor_question(question, "procedural").options is None


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("free_text", "The Beatles", "beatles"),
        ("math", "0.50", "1/2"),
        ("procedural", "Yes ", "yes"),
        ("", "A  b", "a B"),
    ],
)
def test_answers_are_compared_as_their_task_kind_compares_them(kind: str, one: str, other: str) -> None:
    assert floor_question(stored(one), kind).accepted == floor_question(stored(other), kind).accepted


def test_every_accepted_answer_counts() -> None:
    question = floor_question(stored("USA", references=["USA", "United States"]), "free_text")
    assert question.accepted == {"usa", "united states"}


def test_floors_of_a_run_by_task_and_over_all_tasks(rows: Rows) -> None:
    for number in range(4):
        rows.question(f"train {number}", task="sums", reference=str(number // 2))
    rows.connection.execute("UPDATE questions SET options = '[]'")
    held_out = [
        rows.question(f"test {number}", task="sums", split="test", reference=str(number)) for number in range(4)
    ]
    rows.connection.execute("UPDATE questions SET options = '[]' WHERE task = 'sums'")
    choice = rows.question("a choice", task="quiz", split="test")
    kinds = {"sums": "math", "quiz": "choice"}
    pairs = pairs_of_run(rows.connection, rows.run, kinds)
    assert pairs == {"sums": ("0", "1")}
    questions = runs.run_questions(rows.connection, rows.run, "test")
    first = dict.fromkeys([*held_out, choice], FirstAnswer(False))
    floors = floors_by_task(questions, first, kinds, pairs)
    assert {task: floor.value for task, floor in floors.items()} == {"": 0.6, "sums": 0.5, "quiz": 1.0}


def test_evaluations_of_an_earlier_version_get_their_floor_and_keep_all_else(rows: Rows) -> None:
    """Of the two tasks the settings name the kind of one, whose questions have two options: the other one is right."""
    measured_run(rows)
    before = evaluations(rows.connection, rows.run)
    assert add_missing_floors(rows.connection) == len(before) == 6
    after = evaluations(rows.connection, rows.run)
    for old, new in zip(before, after, strict=True):
        assert dict(new.metrics) == {**old.metrics, "floor_t2": new.metrics["floor_t2"]}
        assert (new.id, new.created, new.n) == (old.id, old.created, old.n)
    assert add_missing_floors(rows.connection) == 0, "once is enough"
    overall = after[0].metrics["floor_t2"]
    assert (overall["value"], overall["n"], overall["by_options"]) == (1.0, 8, 0.5)


def test_without_stored_answers_an_evaluation_stays_without_a_floor(rows: Rows) -> None:
    from store.runs.policies import put_evaluation

    put_evaluation(
        rows.connection,
        policy_id=rows.policy,
        iteration_id=None,
        protocol=ORACLE,
        task="",
        n=4,
        metrics={"acc_t2": share(1, 4)},
    )
    assert add_missing_floors(rows.connection) == 0
    assert "floor_t2" not in evaluations(rows.connection, rows.run)[0].metrics


@pytest.mark.parametrize("settings", [{}, {"tasks": None}, {"tasks": "quiz"}, {"tasks": [1, {"name": "quiz"}]}])
def test_settings_that_this_version_can_not_read_cost_no_more_than_the_options(rows: Rows, settings: object) -> None:
    held_out = [rows.question(f"test {number}", split="test") for number in range(2)]
    answer_held_out(rows, rows.policy, ORACLE, dict.fromkeys(held_out, ("incorrect", "correct")))
    rows.connection.execute("UPDATE runs SET settings = ?", (json.dumps(settings),))
    rows.connection.execute(
        "INSERT INTO evaluations (policy_id, protocol, task, n, metrics, created) VALUES (?, ?, '', 2, '{}', 1)",
        (rows.policy, ORACLE),
    )
    assert add_missing_floors(rows.connection) == 1
    floor = evaluations(rows.connection, rows.run)[0].metrics["floor_t2"]
    assert (floor["value"], floor["n"]) == (None, 2), "no kind, no options, and no training questions"
