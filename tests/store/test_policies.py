"""Tests lineage, runs and iterations as rows: names are unique, states follow each other, nothing is overwritten."""

from __future__ import annotations

import sqlite3

import pytest

from store.database.connection import write
from store.runs import iterations, policies, runs
from store.runs.progress import integrity, iteration_counts
from store.settings import STAGES
from tests.support.rows import Rows


def test_a_policy_is_never_overwritten(rows: Rows) -> None:
    """A training recorded a second time after a kill keeps the row that others refer to."""
    first = rows.add_policy("p01", rows.policy, "candidate", rows.iteration)
    policies.decide_policy(rows.connection, first, "promoted", "good")
    assert rows.add_policy("p01", rows.policy, "candidate") == first
    stored = policies.get_policy(rows.connection, first)
    assert (stored.state, stored.reason, stored.iteration_id) == ("promoted", "good", rows.iteration)
    assert [one.name for one in policies.list_policies(rows.connection, rows.run)] == ["p00", "p01"]
    assert policies.find_policy(rows.connection, rows.run, "p02") is None


def test_measured_again_the_newer_values_stand(rows: Rows) -> None:
    """A policy, protocol and task have one evaluation; other protocols keep theirs."""
    for protocol, value in (("a", 0.1), ("a", 0.2), ("b", 0.3)):
        metric = {"acc_t1": {"value": value, "low": 0.0, "high": 1.0, "n": 5}}
        policies.put_evaluation(
            rows.connection,
            policy_id=rows.policy,
            iteration_id=rows.iteration,
            protocol=protocol,
            task="",
            n=5,
            metrics=metric,
        )
    found = {one.protocol: one.metrics["acc_t1"]["value"] for one in policies.evaluations(rows.connection, rows.run)}
    assert found == {"a": 0.2, "b": 0.3}


def test_a_question_is_stored_once_and_chosen_by_each_run(rows: Rows) -> None:
    """Two runs over one data set share its questions, so that their answers can be compared."""
    other = runs.add_run(rows.connection, "other", "none", {}, "")
    question = rows.question("q")
    first, rows.run = rows.run, other
    assert rows.question("q") == question
    rows.question("only here")
    assert [one.text for one in runs.run_questions(rows.connection, first, "train")] == ["q"]
    assert [one.text for one in runs.run_questions(rows.connection, other, "train")] == ["q", "only here"]
    assert runs.run_questions(rows.connection, other, "test") == []
    (stored, *_) = runs.run_questions(rows.connection, first, "train")
    assert stored.options == ("yes", "no")


def test_each_run_divides_the_questions_for_itself(rows: Rows) -> None:
    """A question held out by one run may be a training question of another, and must not appear in its results."""
    rows.question("q", split="test")
    first, rows.run = rows.run, runs.add_run(rows.connection, "other", "none", {}, "")
    rows.question("q", split="train")
    assert [one.split for one in runs.run_questions(rows.connection, first, "test")] == ["test"]
    assert [one.split for one in runs.run_questions(rows.connection, rows.run, "train")] == ["train"]
    assert runs.run_questions(rows.connection, rows.run, "test") == []


def test_worked_examples_keep_their_order(rows: Rows) -> None:
    """Few-shot examples are part of the prompt; another order would change the prompt hash."""
    shown = [runs.FewShot(f"q{number}", f"a{number}") for number in range(11)] + [runs.FewShot("q", "a", "w", "r")]
    for _ in range(2):
        runs.add_few_shots(rows.connection, rows.run, "quiz", shown)
    assert runs.few_shots(rows.connection, rows.run) == {"quiz": shown}


def test_two_runs_can_not_share_a_name(rows: Rows) -> None:
    """Runs are looked up by name."""
    with pytest.raises(sqlite3.IntegrityError):
        runs.add_run(rows.connection, "run", "none", {}, "")


def test_iterations_are_numbered_within_their_run_and_have_six_stages(rows: Rows) -> None:
    """The stage rail shows the stages of the method in its order."""
    other = runs.add_run(rows.connection, "other", "none", {}, "")
    with write(rows.connection):
        second = iterations.add_iteration(rows.connection, rows.run, rows.policy, {}, 0)
        first_of_other = iterations.add_iteration(rows.connection, other, None, {}, 0)
    assert iterations.get_iteration(rows.connection, second).number == 2
    assert iterations.get_iteration(rows.connection, first_of_other).number == 1
    assert tuple(stage.name for stage in iterations.stages(rows.connection, second)) == STAGES
    assert [one.id for one in iterations.list_iterations(rows.connection, rows.run)] == [rows.iteration, second]


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        (["done", "running"], 2),
        (["running", "done"], 1),
        (["stopped", "running"], 2),
        (["running", "stopped"], 1),
        (["failed", "done"], 2),
        (["paused", "failed"], 1),
        (["waiting", "stopped"], 1),
        (["done", "stopped"], 2),
        (["done", "done"], 2),
    ],
)
def test_the_current_iteration_is_the_newest_active_else_the_newest(rows: Rows, states: list[str], shown: int) -> None:
    """An iteration that stopped or failed must not hide, or block, one that was resumed or started after it."""
    with write(rows.connection):
        iterations.add_iteration(rows.connection, rows.run, rows.policy, {}, 0)
    for number, state in enumerate(states, start=1):
        iterations.update_iteration(rows.connection, number, state=state)
    current = iterations.current_iteration(rows.connection)
    assert current is not None and current.id == shown


def test_stage_times_follow_from_states(rows: Rows) -> None:
    """The start is the first time it ran, the end the last; entering a state twice changes nothing."""

    def stage() -> tuple[bool, bool, str | None]:
        one = rows.stages()["train"]
        return one.started is not None, one.ended is not None, one.error

    def move(state: str, error: str | None = None) -> None:
        iterations.set_stage(rows.connection, rows.iteration, "train", state, error)

    assert stage() == (False, False, None)
    move("waiting")
    assert stage() == (False, False, None)
    move("running")
    started = rows.stages()["train"].started
    move("failed", "out of memory")
    assert stage() == (True, True, "out of memory")
    move("running")
    assert stage() == (True, False, None)
    assert rows.stages()["train"].started == started
    move("done")
    ended = rows.stages()["train"].ended
    move("done")
    assert rows.stages()["train"].ended == ended


def test_owed_is_what_is_left_and_never_negative(rows: Rows) -> None:
    """Totals can shrink when a reflection fails; "-1 owed" would make no sense on a screen."""
    iterations.set_progress(rows.connection, rows.iteration, "correct", 3, 10)
    assert rows.stages()["correct"].owed == 7
    iterations.set_progress(rows.connection, rows.iteration, "correct", 3, 2)
    assert rows.stages()["correct"].owed == 0


def test_only_columns_that_may_change_are_changed(rows: Rows) -> None:
    """A misspelt column is a bug and must not be silently ignored, nor may an iteration be moved to another run."""
    for changes in ({}, {"run_id": 2}, {"stat": "done"}):
        with pytest.raises(ValueError, match="not columns"):
            iterations.update_iteration(rows.connection, rows.iteration, **changes)


def test_counts_of_an_iteration(rows: Rows) -> None:
    """The counts of a status report: rollouts and held-out answers separately, failures named."""
    question, held_out = rows.question("q"), rows.question("t", split="test")
    attempt = rows.attempt(question)
    rows.corrected(attempt, question)
    rows.reflection(attempt, sample=1, error="x")
    rows.attempt(held_out, protocol="oracle/abc")
    counts = iteration_counts(rows.connection, rows.iteration)
    assert {name: counts[name] for name in ("attempts", "reflections", "corrections")} == {
        "attempts": 1,
        "reflections": 2,
        "corrections": 1,
    }
    assert (counts["evaluation_attempts"], counts["failed_samples"], counts["d_plus"]) == (1, 1, 0)
    assert integrity(rows.connection) == "ok"


def test_an_evaluation_counts_its_own_numbers_and_skips_what_it_does_not_do(rows: Rows) -> None:
    """Policies, draws and screens depend on iteration numbers; an evaluation in between must not shift them."""
    with write(rows.connection):
        first = iterations.add_iteration(rows.connection, rows.run, rows.policy, {}, 0, "evaluation")
        following = iterations.add_iteration(rows.connection, rows.run, rows.policy, {}, 0)
    made = iterations.get_iteration(rows.connection, first)
    assert (made.kind, made.number, made.title) == ("evaluation", 1, "evaluation 1")
    assert iterations.get_iteration(rows.connection, following).title == "iteration 2"
    assert [
        (stage.name, stage.state) for stage in iterations.stages(rows.connection, first) if stage.state != "skipped"
    ] == [("evaluate", "pending")]
    assert all(stage.approved for stage in iterations.stages(rows.connection, first))
    for number in (rows.iteration, first, following):
        iterations.update_iteration(rows.connection, number, state="done")
    for kind, shown in ((None, following), ("evaluation", first), ("training", following)):
        current = iterations.current_iteration(rows.connection, rows.run, kind)  # type: ignore[arg-type]
        assert current is not None and current.id == shown


@pytest.mark.parametrize(
    ("protocols", "speaks"),
    [
        (["oracle/a"], "oracle/a"),
        (["oracle-free/a"], "oracle-free/a"),
        (["oracle/a", "oracle-free/a"], "oracle/a"),
        (["oracle/a", "oracle-free/b"], "oracle-free/b"),
        (["oracle-free/b", "oracle/a"], "oracle/a"),
    ],
)
def test_one_evaluation_speaks_for_a_policy(rows: Rows, protocols: list[str], speaks: str) -> None:
    """The newest one; of two measured together, the one that decides about promotion."""
    for protocol in protocols:
        policies.put_evaluation(
            rows.connection,
            policy_id=rows.policy,
            iteration_id=rows.iteration,
            protocol=protocol,
            task="",
            n=5,
            metrics={},
        )
    found = policies.newest_evaluation(policies.evaluations(rows.connection, rows.run), rows.policy)
    assert found is not None and found.protocol == speaks
    assert policies.newest_evaluation([], rows.policy) is None
