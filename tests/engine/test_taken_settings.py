"""Tests of resuming with a changed settings file: what may still change is taken, and everything else is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.supervisor.directives import apply_directive
from store.control.directives import find, issue
from store.database.connection import write
from store.records import DirectiveKind
from store.runs import iterations
from store.settings import RunSettings
from tests.support.rows import Rows, run_settings


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """An iteration whose training failed before its first step, with min_examples = 50."""
    made = Rows(tmp_path / "reflectevo.db", run_settings(training={"min_examples": 50}))
    with write(made.connection):
        for name in ("attempt", "reflect", "correct", "curate"):
            iterations.set_stage(made.connection, made.iteration, name, "running")
            iterations.set_stage(made.connection, made.iteration, name, "done")
        iterations.set_stage(made.connection, made.iteration, "train", "failed", "nothing was trained")
        iterations.update_iteration(made.connection, made.iteration, state="failed", reason="nothing was trained")
    yield made
    made.connection.close()


def resume(rows: Rows, kind: DirectiveKind = "resume", **changes: object) -> str:
    """Resume with the settings of the run and some changes, as from the settings file; returns the outcome."""
    file = run_settings(**{"training": {"min_examples": 50}, **changes}).model_dump(mode="json")
    return apply(rows, kind, {"iteration": rows.iteration, "settings": file})


def apply(rows: Rows, kind: DirectiveKind, arguments: dict[str, object]) -> str:
    """Issue and apply a directive; returns its outcome."""
    uuid = issue(rows.connection, kind, arguments)
    directive = find(rows.connection, uuid)
    assert directive is not None
    with write(rows.connection):
        apply_directive(rows.connection, directive)
    done = find(rows.connection, uuid)
    assert done is not None and done.outcome is not None
    return done.outcome


def stored(rows: Rows) -> RunSettings:
    """The settings of the iteration as stored now."""
    return RunSettings.model_validate(rows.current().settings)


@pytest.mark.parametrize("kind", ["resume", "retry_failed"])
def test_a_lower_minimum_in_the_file_is_taken(rows: Rows, kind: DirectiveKind) -> None:
    """Both commands take it, and the outcome names the old and the new value."""
    said = resume(rows, kind, training={"min_examples": 1})
    assert "settings taken from the file: training.min_examples = 1 (was 50)" in said
    assert stored(rows).training.min_examples == 1
    assert rows.current().state == "running" and rows.stages()["train"].state == "pending"


def test_equal_settings_say_nothing(rows: Rows) -> None:
    """The outcome is the short one when nothing differs."""
    assert resume(rows) == "iteration 1 resumed"


def test_what_a_stage_has_used_is_named_and_not_taken(rows: Rows) -> None:
    """Rollouts keep the settings that they were generated with; the tasks are those of the run."""
    task = {"kind": "choice", "name": "quiz", "path": "other.jsonl"}
    said = resume(rows, attempt={"max_tokens": 99}, tasks=[task], training={"min_examples": 2})
    assert "training.min_examples = 2 (was 50)" in said
    assert "not taken: " in said and "attempt.max_tokens (stage attempt has begun)" in said
    assert "tasks (it can't change within a run)" in said
    assert stored(rows).attempt.max_tokens != 99 and stored(rows).tasks[0].model_dump()["path"] == "quiz.jsonl"


def test_relaxed_curation_is_taken_and_curates_again(rows: Rows) -> None:
    """Curation generates no text: with other filters it can give enough examples."""
    said = resume(rows, curation={"min_words": 1})
    assert "curation.min_words = 1" in said
    assert rows.stages()["curate"].state == "pending" and rows.stages()["correct"].state == "done"


def test_a_setting_that_an_operator_set_for_the_iteration_stays(rows: Rows) -> None:
    """The file was not edited after `set_settings`, so that its older value must not come back."""
    changes = {"training": {"min_examples": 3}}
    assert "settings of iteration 1 changed" in apply(
        rows, "set_settings", {"iteration": rows.iteration, "settings": changes}
    )
    said = resume(rows, training={"min_examples": 50, "epochs": 2})
    assert "training.min_examples (it was set for this iteration by an operator)" in said
    assert "training.epochs = 2.0 (was 1.0)" in said
    assert (stored(rows).training.min_examples, stored(rows).training.epochs) == (3, 2.0)


@pytest.mark.parametrize("state", ["paused", "waiting"])
def test_an_iteration_that_did_not_end_keeps_its_settings(rows: Rows, state: str) -> None:
    """Only a failure or a stop is an occasion to change settings by the file."""
    iterations.update_iteration(rows.connection, rows.iteration, state=state)  # type: ignore[typeddict-item]
    assert resume(rows, training={"min_examples": 1}) == "iteration 1 resumed"
    assert stored(rows).training.min_examples == 50


def test_the_file_of_another_run_is_not_taken(rows: Rows) -> None:
    """`retry` in a workspace whose file was replaced by that of the next run."""
    assert resume(rows, name="other", training={"min_examples": 1}) == "iteration 1 resumed"
    assert stored(rows).training.min_examples == 50


def test_invalid_settings_are_refused_and_change_nothing(rows: Rows) -> None:
    """A directive is untrusted input."""
    said = apply(rows, "resume", {"iteration": rows.iteration, "settings": {"name": "run", "training": {"epoch": 1}}})
    assert "epoch" in said and rows.current().state == "failed"
