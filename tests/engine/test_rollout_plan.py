"""Tests of the rollout plan: draws and seeds depend only on the planned work, counts follow from stored verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.evaluation.protocol import (
    answered,
    evaluation_plan,
    feedback_of,
    feedbacks_of,
    measure,
    protocol_name,
    sibling_protocol,
)
from engine.rollout.load_plan import problems_of
from engine.rollout.plan import count, draw_plan, gather_done
from store.records import StoredQuestion
from store.rollouts.attempts import evaluation_attempts, evaluation_reflections
from store.runs.runs import run_questions
from store.settings import RunSettings
from tests.support.rollout_plans import KEYS, add_questions, make_plan, stored
from tests.support.rows import Rows, run_settings


def _questions(number: int, task: str = "quiz") -> list[StoredQuestion]:
    return [
        StoredQuestion(position, task, "reasoning", "train", f"q{position}", (), "A", {}, f"{task}{position}")
        for position in range(1, number + 1)
    ]


def _settings(instructions: str | list[str], samples: int = 2, seed: int = 0) -> RunSettings:
    return run_settings(reflection={"instructions": instructions, "samples": samples}, seed=seed)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A database with one run."""
    made = Rows(tmp_path / "reflectevo.db")
    yield made
    made.connection.close()


@pytest.mark.parametrize("instructions", ["random:2", "balanced:3", "adaptive:2"])
def test_a_plan_is_the_same_in_every_process_and_differs_by_seed_and_iteration(instructions: str) -> None:
    """Resume has the same outstanding work as before; another iteration draws other instructions."""
    questions = _questions(12)
    plan = draw_plan(questions, _settings(instructions), 1, {})
    assert draw_plan(questions, _settings(instructions), 1, {}) == plan
    assert draw_plan(questions, _settings(instructions), 2, {}) != plan
    assert draw_plan(questions, _settings(instructions, seed=1), 1, {}) != plan
    drawn = int(instructions.split(":")[1])
    for keys in plan.values():
        assert len(keys) == len(set(keys)) == 2 * drawn
        assert {sample for _, sample in keys} == {0, 1}


def test_a_balanced_plan_uses_every_instruction_equally_often_in_each_task() -> None:
    """`balanced` counts the draws of the preceding questions, task by task."""
    questions = [*_questions(16, "a"), *[_renumbered(one) for one in _questions(16, "b")]]
    plan = draw_plan(questions, _settings("balanced:2", samples=1), 1, {})
    for task in ("a", "b"):
        used = Counter(key for one in questions if one.task == task for key, _ in plan[one.id])
        assert len(used) == 32
        assert set(used.values()) == {1}


def _renumbered(question: StoredQuestion) -> StoredQuestion:
    return replace(question, id=question.id + 100)


def test_an_adaptive_plan_follows_the_yields_of_its_own_task() -> None:
    """Thompson sampling by task: success in one task says nothing about another."""
    keys = {("a", f"{v}-{place}-{p}"): (0, 500) for v in (1, 2) for place in range(1, 9) for p in (1, 2)}
    yields = {**keys, ("a", "2-5-1"): (500, 500)}
    plan = draw_plan(_questions(20, "a"), _settings("adaptive:1", samples=1), 2, yields)
    assert {key for drawn in plan.values() for key, _ in drawn} == {"2-5-1"}
    other = draw_plan(_questions(20, "b"), _settings("adaptive:1", samples=1), 2, yields)
    assert len({key for drawn in other.values() for key, _ in drawn}) > 5


def test_seeds_depend_on_the_place_in_the_work(rows: Rows) -> None:
    """A seed that depended on the order of generation would make a resumed run differ from an uninterrupted one."""
    add_questions(rows)
    one, again = make_plan(rows), make_plan(rows)
    places = [(question.id, stage, key) for question in one.questions for stage in ("a", "b") for key in KEYS]
    seeds = [one.seed_of(*place, round=round) for place in places for round in (1, 2)]
    assert len(set(seeds)) == len(seeds)
    assert [again.seed_of(*place, round=round) for place in reversed(places) for round in (2, 1)] == seeds[::-1]
    # vLLM takes seeds of 64 bits, SQLite stores signed ones.
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_counts_grow_with_what_the_verdicts_ask_for(rows: Rows) -> None:
    """Totals of later stages are known only as attempts are verified; a failed reflection has no correction."""
    add_questions(rows, {"incorrect": 1, "correct": 1, "unverified": 1})
    plan = make_plan(rows, retries=1)
    counts = count(plan, stored(rows))
    assert counts.total == {"attempt": 3, "reflect": 0, "correct": 0, "again": 0, "resample": 0, "retry": 0, "vote": 0}
    assert not counts.complete
    wrong, right, unsure = (question.id for question in plan.questions)
    attempt = rows.attempt(wrong)
    rows.attempt(right, "correct")
    rows.attempt(unsure, "unverified")
    counts = count(plan, stored(rows))
    assert counts.total == {"attempt": 3, "reflect": 3, "correct": 3, "again": 0, "resample": 0, "retry": 1, "vote": 0}
    assert counts.done == {"attempt": 3, "reflect": 0, "correct": 0, "again": 0, "resample": 0, "retry": 0, "vote": 0}
    rows.corrected(attempt, wrong, "correct", instruction=KEYS[0][0], sample=KEYS[0][1])
    rows.corrected(attempt, wrong, "incorrect", instruction=KEYS[1][0], sample=KEYS[1][1])
    rows.reflection(attempt, KEYS[2][0], sample=KEYS[2][1], error="too long")
    rows.attempt(wrong, "correct", turn=2)
    counts = count(plan, stored(rows))
    assert counts.done == {"attempt": 3, "reflect": 3, "correct": 2, "again": 0, "resample": 0, "retry": 1, "vote": 0}
    assert counts.correct == {
        "attempt": 1,
        "reflect": 0,
        "correct": 1,
        "again": 0,
        "resample": 0,
        "retry": 1,
        "vote": 0,
    }
    assert counts.complete


def test_a_failed_correction_owes_another_round_and_votes_are_owed_from_the_start(rows: Rows) -> None:
    """Later rounds belong to the correct stage: the stage of the first reflections is finished by then."""
    add_questions(rows, {"incorrect": 1})
    plan = make_plan(rows, keys=KEYS[:1], rounds=2, votes=3, retries=2)
    (question,) = plan.questions
    assert count(plan, stored(rows)).total["vote"] == 3
    attempt = rows.attempt(question.id)
    _, correction = rows.corrected(attempt, question.id, "incorrect", instruction=KEYS[0][0])
    counts = count(plan, stored(rows))
    assert (counts.total["reflect"], counts.total["again"], counts.total["correct"], counts.total["retry"]) == (
        1,
        1,
        2,
        2,
    )
    assert counts.has_outstanding(["correct"]) and not counts.has_outstanding(["reflect"])
    later = rows.reflection(correction, KEYS[0][0])
    rows.attempt(question.id, "incorrect", turn=3, reflection=later)
    counts = count(plan, stored(rows))
    # The second round was the last, whatever its verdict.
    assert (counts.done["again"], counts.done["correct"], counts.total["correct"]) == (1, 2, 2)


def test_reflections_that_the_plan_does_not_name_are_not_counted(rows: Rows) -> None:
    """After the draw was edited at a gate, rows of the old plan don't hide outstanding rows of the new one."""
    add_questions(rows, {"incorrect": 1})
    plan = make_plan(rows)
    attempt = rows.attempt(plan.questions[0].id)
    rows.reflection(attempt, "2-8-2")
    assert count(plan, stored(rows)).done["reflect"] == 0


def _held_out(rows: Rows, settings: RunSettings) -> tuple[list[StoredQuestion], str]:
    questions = run_questions(rows.connection, rows.run, "test")
    return questions, protocol_name(settings, questions)


def test_an_evaluation_is_greedy_with_one_general_reflection(rows: Rows) -> None:
    """The paper's protocol, whatever the decoding settings of the training rollouts."""
    settings = run_settings(attempt={"temperature": 1.0}, correction={"temperature": 0.7, "max_tokens": 9})
    add_questions(rows, split="test")
    questions = run_questions(rows.connection, rows.run, "test")
    plan = evaluation_plan(
        iteration_id=rows.iteration,
        policy_id=rows.policy,
        settings=settings,
        questions=questions,
        problems=problems_of(rows.connection, rows.run, settings, questions),
    )
    assert {plan.attempt.temperature, plan.reflection.temperature, plan.correction.temperature} == {0.0}
    assert plan.baselines.retry == plan.correction, "one retry decodes as the correction it stands beside"
    assert plan.correction.max_tokens == 9
    assert set(plan.draws.values()) == {(("general", 0),)}


def test_a_protocol_names_what_makes_two_evaluations_comparable(rows: Rows) -> None:
    """A policy is measured again when lengths, prompt or questions changed, not when its training settings did."""
    add_questions(rows, split="test")
    questions, name = _held_out(rows, run_settings())
    assert name.startswith("oracle/")
    same = run_settings(training={"epochs": 3}, reflection={"samples": 1}, attempt={"temperature": 1.0})
    assert protocol_name(same, questions) == name
    for other in (
        run_settings(attempt={"max_tokens": 9}),
        run_settings(correction={"show_previous_attempt": False}),
        run_settings(evaluation={"protocol": "oracle-free"}),
        run_settings(evaluation={"rounds": 2}),
        run_settings(evaluation={"retry_samples": 3}),
        run_settings(evaluation={"vote_samples": 3}),
        run_settings(evaluation={"vote_samples": 3, "baseline_temperature": 1.0}),
        run_settings(reflector="another"),
    ):
        assert protocol_name(other, questions) != name
    assert protocol_name(run_settings(), questions[1:]) != name
    # An unused temperature changes nothing.
    assert protocol_name(run_settings(evaluation={"baseline_temperature": 1.0}), questions) == name


def test_both_protocols_differ_in_their_feedback_alone(rows: Rows) -> None:
    """Each is identical to the protocol on its own, so that a policy measured under one is not measured again."""
    add_questions(rows, split="test")
    both = run_settings(evaluation={"protocol": "both"})
    questions = run_questions(rows.connection, rows.run, "test")
    assert feedbacks_of(both) == ("oracle", "oracle-free")
    for feedback in feedbacks_of(both):
        alone = run_settings(evaluation={"protocol": feedback})
        name = protocol_name(both, questions, feedback)
        assert name == protocol_name(alone, questions)
        assert feedback_of(name) == feedback
        assert sibling_protocol(sibling_protocol(name)) == name != sibling_protocol(name)
    assert protocol_name(both, questions).startswith("oracle/"), "the oracle decides over a child"


def test_measures_come_from_stored_answers_and_skip_what_is_missing(rows: Rows) -> None:
    """An unanswered question is not a wrong answer: it isn't in the denominator (trap 5)."""
    settings = run_settings()
    add_questions(rows, {"incorrect": 2, "correct": 1}, split="test")
    questions, protocol = _held_out(rows, settings)
    first, second, _ = questions
    attempt = rows.attempt(first.id, protocol=protocol)
    reflection = rows.reflection(attempt, "general", protocol=protocol)
    rows.attempt(first.id, "correct", turn=2, reflection=reflection, protocol=protocol)
    rows.attempt(second.id, "correct", protocol=protocol)
    done = gather_done(
        evaluation_attempts(rows.connection, rows.policy, protocol),
        evaluation_reflections(rows.connection, rows.policy, protocol),
    )
    answers = answered(questions, done)
    assert [(row.question_id, [turn.verdict for turn in row.turns]) for row in answers] == [
        (first.id, ["incorrect", "correct"]),
        (second.id, ["correct"]),
    ]
    metrics = measure(answers, "oracle", settings)
    assert set(metrics) == {"", "quiz"}
    assert metrics[""]["acc_t1"].value == 0.5
    assert metrics[""]["acc_t2"].value == 1.0
    # Five tokens a text: one question took an attempt, a reflection and a correction, the other an attempt alone.
    assert [metrics["quiz"][f"tokens_{name}"].value for name in ("attempt", "reflection", "correction")] == [
        5,
        2.5,
        2.5,
    ]


def test_rounds_retries_and_votes_are_read_in_their_order(rows: Rows) -> None:
    """Turn, sample and chain are columns; a misplaced answer would change another metric."""
    settings = run_settings(evaluation={"rounds": 2, "retry_samples": 2, "vote_samples": 2})
    question = rows.question("q", split="test", reference="A")
    questions, protocol = _held_out(rows, settings)
    attempt = rows.attempt(question, protocol=protocol)
    _, correction = rows.corrected(attempt, question, "incorrect", instruction="general", protocol=protocol)
    later = rows.reflection(correction, "general", protocol=protocol)
    rows.attempt(question, "correct", turn=3, reflection=later, protocol=protocol)
    for sample, verdict in ((1, "correct"), (0, "incorrect")):
        rows.attempt(question, verdict, turn=2, sample=sample, protocol=protocol)  # type: ignore[arg-type]
    for sample, verdict in ((2, "correct"), (1, "incorrect")):
        rows.attempt(question, verdict, sample=sample, protocol=protocol)  # type: ignore[arg-type]
    done = gather_done(
        evaluation_attempts(rows.connection, rows.policy, protocol),
        evaluation_reflections(rows.connection, rows.policy, protocol),
    )
    (row,) = answered(questions, done, {"quiz": "choice"})
    assert [turn.verdict for turn in row.turns] == ["incorrect", "incorrect", "correct"]
    assert (row.reflection_tokens, row.correction_tokens) == (10, 10)
    assert [answer.verdict for answer in row.retries] == ["incorrect", "correct"]
    assert [answer.verdict for answer in row.votes] == ["incorrect", "correct"]
