"""Tests of settings edited at a gate and of retries: started stages keep their settings, failed work is scheduled
again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.rollout.load_plan import settings_of
from store.curation.curated import NewCurated, replace_curated
from store.curation.preferences import add_preference
from store.curation.reviews import add_review
from store.database.connection import write
from store.rollouts import attempts
from store.runs import iterations
from store.runs.instruction_parts import put_instruction_parts
from tests.support.directives import tell
from tests.support.rows import Rows


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A run whose first iteration has done its rollouts and waits before the training."""
    made = Rows(tmp_path / "reflectevo.db")
    for name in ("attempt", "reflect", "correct", "curate"):
        iterations.set_stage(made.connection, made.iteration, name, "running")
        iterations.set_stage(made.connection, made.iteration, name, "done")
    iterations.set_stage(made.connection, made.iteration, "train", "waiting")
    iterations.update_iteration(made.connection, made.iteration, state="waiting")
    yield made
    made.connection.close()


def test_settings_of_stages_ahead_can_be_edited_and_the_edit_is_recorded(rows: Rows) -> None:
    """Only the named keys change; the outcome, which stays in the log, records the new values."""
    accepted, outcome = tell(
        rows, "set_settings", settings={"training": {"epochs": 3, "learning_rate": 1e-4}, "gates": ["promote"]}
    )
    assert accepted
    assert "training.epochs = 3, training.learning_rate = 0.0001" in outcome
    new, old = settings_of(rows.current()), rows.settings
    assert (new.training.epochs, new.training.learning_rate, new.gates) == (3.0, 1e-4, ["promote"])
    assert new.training.model_copy(update={"epochs": 1.0, "learning_rate": None}) == old.training
    assert new.attempt == old.attempt


def test_a_table_within_a_section_is_merged_too(rows: Rows) -> None:
    """Editing one key of the second stage keeps its other keys, as in a settings file."""
    two_stages = {"setting": "sft-two-stage", "second_stage": {"epochs": 2}}
    assert tell(rows, "set_settings", settings={"training": two_stages})[0]
    assert tell(rows, "set_settings", settings={"training": {"second_stage": {"batch_size": 4}}})[0]
    own = settings_of(rows.current()).training.second_stage
    assert (own.epochs, own.batch_size) == (2.0, 4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attempt": {"temperature": 0.5}}, "[attempt] can't change any more: stage attempt has begun"),
        ({"reflection": {"samples": 1}}, "[reflection] can't change any more: stage reflect has begun"),
        ({"correction": {"max_tokens": 9}}, "[correction] can't change any more: stage correct has begun"),
        ({"curation": {"min_words": 1}}, "[curation] can't change any more: stage curate has begun"),
        ({"model": "other"}, "'model' can't change within a run"),
        ({"seed": 1}, "'seed' can't change within a run"),
        ({"tasks": []}, "at least 1 item"),
        ({"training": {"epoch": 3}}, "unknown setting 'training.epoch'; did you mean 'epochs'?"),
        ({"training": 3}, "'training'"),
        ({"nothing": {"a": 1}}, "unknown setting 'nothing'"),
        ({"training": {"learning_rate": -1}}, "greater than 0"),
        ({}, "needs the settings to change"),
        ("epochs=3", "needs the settings to change"),
    ],
)
def test_settings_that_can_not_change_are_refused_whole(rows: Rows, changes: Any, words: str) -> None:
    """Rows generated under one setting must not be attributed to another; and a refusal changes nothing."""
    before = rows.current().settings
    wanted = {**changes, "gates": ["promote"]} if isinstance(changes, dict) and changes else changes
    accepted, outcome = tell(rows, "set_settings", settings=wanted)
    assert not accepted
    assert words in outcome
    assert rows.current().settings == before


def test_a_begun_section_may_be_sent_unchanged(rows: Rows) -> None:
    """Forms send every section; only a difference counts."""
    values = rows.settings.model_dump(mode="json")
    assert tell(rows, "set_settings", settings={**values, "training": {"epochs": 2.0}})[0]


@pytest.mark.parametrize(
    ("name", "section", "made", "allowed"),
    [
        ("train", {"training": {"min_examples": 2}}, 0, True),
        ("train", {"training": {"batch_size": 2}}, 30, True),
        ("evaluate", {"evaluation": {"protocol": "oracle-free"}}, 0, True),
        ("evaluate", {"evaluation": {"protocol": "oracle-free"}}, 5, False),
    ],
)
def test_a_stage_that_failed_can_be_set_anew(
    rows: Rows, name: str, section: dict[str, Any], made: int, allowed: bool
) -> None:
    """A setting can fix too few examples or too large a batch; existing answers keep theirs."""
    iterations.set_stage(rows.connection, rows.iteration, name, "running")
    iterations.set_progress(rows.connection, rows.iteration, name, made, 40)
    assert not tell(rows, "set_settings", settings=section)[0], "not while it runs"
    iterations.set_stage(rows.connection, rows.iteration, name, "failed", "why")
    iterations.update_iteration(rows.connection, rows.iteration, state="failed", reason="why")
    assert tell(rows, "set_settings", settings=section)[0] is allowed


def _curated(rows: Rows) -> int:
    """Insert a pair to judge, curated an hour ago; return the first reflection's id; the other's follows."""
    question = rows.question("q")
    attempt = rows.attempt(question)
    first, _ = rows.corrected(attempt, question)
    rows.corrected(attempt, question, instruction="1-2-1")
    rows.connection.execute("UPDATE stages SET ended = ended - 3600 WHERE name = 'curate'")
    return first


def test_what_an_operator_decided_at_the_training_gate_is_curated_before_training(rows: Rows) -> None:
    """Preferences and reviews made while the gate waits would otherwise be requested and discarded."""
    first = _curated(rows)
    add_preference(rows.connection, first, first + 1, reviewer="me")
    add_review(rows.connection, first, "reject", reviewer="me")
    assert tell(rows, "approve") == (True, "stage train approved; curation first applies 2 new decisions")
    assert [rows.stages()[name].state for name in ("curate", "train")] == ["pending", "pending"]


def test_without_new_decisions_an_approved_training_starts_at_once(rows: Rows) -> None:
    """Decisions that curation already used are no reason to repeat it."""
    first = _curated(rows)
    add_preference(rows.connection, first, first + 1, reviewer="me")
    rows.connection.execute("UPDATE preferences SET created = created - 7200")
    assert tell(rows, "approve") == (True, "stage train approved")
    assert rows.stages()["curate"].state == "done"


def test_a_training_that_found_nothing_to_train_on_takes_in_decisions_on_resume(rows: Rows) -> None:
    """No pair was judged and training refused; the operator judges and resumes."""
    first = _curated(rows)
    iterations.set_stage(rows.connection, rows.iteration, "train", "failed", "too few")
    iterations.update_iteration(rows.connection, rows.iteration, state="failed", reason="too few")
    add_preference(rows.connection, first, first + 1, reviewer="me")
    assert tell(rows, "resume")[0]
    assert rows.stages()["curate"].state == "pending"


def test_another_judge_has_the_pairs_judged_before_training(rows: Rows) -> None:
    """An exhausted budget can be raised at the gate, and the pairs can be assigned to another judge."""
    _curated(rows)
    assert tell(rows, "set_settings", settings={"training": {"setting": "dpo-judge"}})[0]
    assert rows.stages()["curate"].state == "pending"
    iterations.set_stage(rows.connection, rows.iteration, "curate", "running")
    accepted, outcome = tell(rows, "set_settings", settings={"judge": {"max_requests": 5}})
    assert not accepted and "while stage curate runs" in outcome
    iterations.set_stage(rows.connection, rows.iteration, "curate", "done")
    assert tell(rows, "set_settings", settings={"judge": {"max_requests": 5}})[0]
    assert rows.stages()["curate"].state == "pending"
    iterations.set_stage(rows.connection, rows.iteration, "train", "running")
    accepted, outcome = tell(rows, "set_settings", settings={"judge": {"max_requests": 6}})
    assert not accepted and "stage train has begun" in outcome


def test_instruction_parts_stay_the_same_within_a_run(rows: Rows) -> None:
    """The keys of a run refer to the sentences it was prepared with."""
    iterations.set_stage(rows.connection, rows.iteration, "reflect", "pending")
    rows.connection.execute("UPDATE stages SET started = NULL")
    accepted, outcome = tell(rows, "set_settings", settings={"reflection": {"parts": "mine.toml"}})
    assert not accepted and "'reflection.parts' can't change within a run" in outcome


def test_instructions_that_the_pool_does_not_have_are_refused_with_the_nearest(rows: Rows) -> None:
    """Unknown keys would otherwise fail the iteration after the gate; the run's own parts are valid."""
    rows.connection.execute("UPDATE stages SET started = NULL, state = 'pending'")
    for wanted, words in ((["1-9-1"], "the nearest is '1-8-1'"), ("random:33", "the pool has 32")):
        accepted, outcome = tell(rows, "set_settings", settings={"reflection": {"instructions": wanted}})
        assert not accepted and words in outcome
    with write(rows.connection):
        put_instruction_parts(rows.connection, rows.run, {"locate": ("Look for a lost sign.",)})
    assert tell(rows, "set_settings", settings={"reflection": {"instructions": ["1-9-1"]}})[0]


def _fail_samples(rows: Rows) -> int:
    """Insert one wrong attempt whose only correction failed and was excluded by curation; return the attempt."""
    question = rows.question("q")
    attempt = rows.attempt(question)
    reflection = rows.reflection(attempt)
    correction = rows.attempt(question, "unverified", turn=2, reflection=reflection, error="too long")
    attempts.finish_trajectory(rows.connection, attempt, reflection, correction)
    with write(rows.connection):
        row = NewCurated("d_plus", reflection, None, correction, False, "correction unverified")
        replace_curated(rows.connection, rows.iteration, [row])
    return attempt


def test_failed_samples_are_owed_again_and_so_is_what_was_made_of_them(rows: Rows) -> None:
    """At the training gate: the failed row is deleted, rollouts and curation run again, and the gate waits again."""
    _fail_samples(rows)
    assert tell(rows, "retry_failed") == (True, "iteration 1 resumed; 1 failed sample to retry")
    assert {stage.state for stage in rows.stages().values()} == {"pending"}
    assert rows.current().state == "running"
    assert [row.error for row in attempts.rollout_attempts(rows.connection, rows.iteration)] == [None]


def test_without_failed_samples_only_the_failed_stage_is_done_again(rows: Rows) -> None:
    """Finished stages stay finished."""
    iterations.set_stage(rows.connection, rows.iteration, "train", "failed", "why")
    iterations.update_iteration(rows.connection, rows.iteration, state="failed", reason="why")
    assert tell(rows, "retry_failed") == (True, "iteration 1 resumed; 0 failed samples to retry")
    stages = rows.stages()
    assert [stages[name].state for name in ("correct", "curate", "train")] == ["done", "done", "pending"]
    assert (stages["train"].error, rows.current().reason) == (None, "")


def test_once_a_child_is_trained_only_held_out_answers_are_owed_again(rows: Rows) -> None:
    """The child was trained on the existing rollouts; training it again is another iteration."""
    _fail_samples(rows)
    held_out = rows.question("t", split="test")
    rows.attempt(held_out, "unverified", protocol="oracle/abc", error="too long")
    child = rows.add_policy("p01", rows.policy, "candidate", rows.iteration)
    iterations.update_iteration(rows.connection, rows.iteration, child_id=child)
    for name in ("train", "evaluate"):
        iterations.set_stage(rows.connection, rows.iteration, name, "done")
    assert tell(rows, "retry_failed") == (True, "iteration 1 resumed; 1 failed sample to retry")
    states = {name: stage.state for name, stage in rows.stages().items()}
    assert states.pop("evaluate") == "pending"
    assert set(states.values()) == {"done"}


def test_retry_failed_refuses_while_a_stage_runs_or_when_all_is_over(rows: Rows) -> None:
    """A running worker would not notice rows that are deleted; a finished iteration is evidence."""
    _fail_samples(rows)
    iterations.set_stage(rows.connection, rows.iteration, "train", "running")
    accepted, outcome = tell(rows, "retry_failed")
    assert not accepted and "stage train is running" in outcome
    iterations.set_stage(rows.connection, rows.iteration, "train", "done")
    iterations.update_iteration(rows.connection, rows.iteration, state="done")
    accepted, outcome = tell(rows, "retry_failed")
    assert not accepted and "is done" in outcome
    assert len(attempts.rollout_attempts(rows.connection, rows.iteration)) == 2


def test_resume_goes_on_without_throwing_away_failed_samples(rows: Rows) -> None:
    """Resume continues; rows that record a failure are deleted only when they are retried."""
    _fail_samples(rows)
    iterations.set_stage(rows.connection, rows.iteration, "train", "failed", "why")
    iterations.update_iteration(rows.connection, rows.iteration, state="failed", reason="why")
    assert tell(rows, "resume") == (True, "iteration 1 resumed")
    assert rows.stages()["train"].state == "pending"
    assert len(attempts.rollout_attempts(rows.connection, rows.iteration)) == 2
