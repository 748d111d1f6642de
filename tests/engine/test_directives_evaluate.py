"""Tests of evaluations that an operator requests: they measure a policy and leave the run's iterations unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.supervisor.lineage import current_policy
from store.database.connection import write
from store.records import Iteration
from store.runs import iterations
from store.runs.runs import add_run, run_named, set_run_state
from tests.support.directives import tell
from tests.support.rows import Rows, run_settings


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A run whose first iteration is done."""
    made = Rows(tmp_path / "reflectevo.db")
    iterations.update_iteration(made.connection, made.iteration, state="done")
    yield made
    made.connection.close()


def values(**changes: Any) -> dict[str, Any]:
    """Settings as a directive carries them."""
    return run_settings(**changes).model_dump(mode="json")


def newest(rows: Rows) -> Iteration:
    """The newest iteration."""
    return max(iterations.list_iterations(rows.connection), key=lambda one: one.id)


def states(rows: Rows, iteration: Iteration) -> dict[str, str]:
    return {stage.name: stage.state for stage in iterations.stages(rows.connection, iteration.id)}


def test_it_measures_the_newest_promoted_policy_with_the_settings_given(rows: Rows) -> None:
    """The sections about measuring come from the arguments; all others from the run."""
    child = rows.add_policy("p01", rows.policy, "promoted")
    given = values(evaluation={"vote_samples": 5}, attempt={"max_tokens": 9}, training={"epochs": 9})
    accepted, words = tell(rows, "evaluate", settings=given, base_directory="/data", policy=None)
    assert (accepted, words) == (True, "evaluation of policy p01 of run 'run' started")
    made = newest(rows)
    assert (made.kind, made.number, made.parent_id, made.child_id) == ("evaluation", 1, child, None)
    assert (made.state, made.remaining, made.title) == ("running", 0, "evaluation 1")
    assert states(rows, made) == dict.fromkeys(("attempt", "reflect", "correct", "curate", "train"), "skipped") | {
        "evaluate": "pending"
    }
    assert made.settings["evaluation"]["vote_samples"] == 5  # type: ignore[index]
    assert made.settings["attempt"]["max_tokens"] == 9  # type: ignore[index]
    assert made.settings["training"] == values()["training"]


def test_it_measures_the_policy_that_is_named(rows: Rows) -> None:
    """A rejected policy can be measured too, to examine the rejection."""
    rejected = rows.add_policy("p01", rows.policy, "rejected")
    assert tell(rows, "evaluate", settings=values(), policy="p01")[0]
    assert newest(rows).parent_id == rejected


def test_a_run_that_is_not_there_yet_is_made_without_a_training_iteration(rows: Rows) -> None:
    """New settings measure the base model, and start nothing else."""
    accepted, words = tell(rows, "evaluate", settings=values(name="fresh"), base_directory="/data")
    assert (accepted, words) == (True, "run 'fresh' will be prepared, then its policy p00 evaluated")
    run = run_named(rows.connection, "fresh")
    assert run is not None and (run.state, run.base_directory) == ("new", "/data")
    assert [one.kind for one in iterations.list_iterations(rows.connection, run.id)] == ["evaluation"]


def test_it_does_not_count_as_the_next_iteration(rows: Rows) -> None:
    """Numbers, names, draws and parents of iterations are the same as without it."""
    assert tell(rows, "evaluate", settings=values())[0]
    evaluation = newest(rows)
    # One that stopped blocks nothing either.
    iterations.update_iteration(rows.connection, evaluation.id, state="stopped")
    assert tell(rows, "start_iteration", run=rows.run)[0]
    started = newest(rows)
    assert (started.kind, started.number, started.parent_id) == ("training", 2, rows.policy)
    found = iterations.find_iteration(rows.connection, rows.run, 1)
    assert found is not None and found.id == rows.iteration
    assert iterations.find_iteration(rows.connection, rows.run, 3) is None


def test_a_section_given_apart_counts_for_the_evaluation_alone(rows: Rows) -> None:
    """A new run keeps its own measuring settings, and an experiment stays with the run."""
    series = {"iterations": 1, "series": [{"name": "one"}]}
    own = {"split": "dev"}
    task = {**values()["tasks"][0], "dev": 4}
    settings = values(name="fresh", evaluation=own, experiment=series, tasks=[task])
    apart = {**settings["evaluation"], "split": "test", "vote_samples": 3}
    assert tell(rows, "evaluate", settings=settings, evaluation=apart, base_directory="/data")[0]
    made, run = newest(rows), run_named(rows.connection, "fresh")
    assert run is not None
    assert made.settings["evaluation"] == apart and made.settings["experiment"] is None
    assert run.settings["evaluation"] == settings["evaluation"] and run.settings["experiment"] is not None
    refused, words = tell(rows, "evaluate", settings=settings, evaluation={"split": "nowhere"})
    assert not refused and "evaluation.split" in words


def test_iterations_of_a_run_may_differ_in_their_seed_where_another_chose_the_questions(rows: Rows) -> None:
    """Several seeds on the same questions; without `question_seed` another seed would mean other questions."""
    assert not tell(rows, "start_iteration", run=rows.run, settings=values(seed=5))[0]
    stored = values(question_seed=9)
    other = add_run(rows.connection, "seeded", "none", {**stored, "name": "seeded"}, "")
    set_run_state(rows.connection, other, "ready")
    rows.run = other
    rows.add_policy("p00", None, "promoted")
    accepted, words = tell(rows, "start_iteration", run=other, settings=values(name="seeded", question_seed=9, seed=5))
    assert accepted, words
    assert newest(rows).settings["seed"] == 5
    accepted, words = tell(rows, "set_settings", settings={"seed": 6})
    assert not accepted and "'seed' can't change within an iteration" in words
    iterations.update_iteration(rows.connection, newest(rows).id, state="done")
    accepted, words = tell(rows, "start_iteration", run=other, settings=values(name="seeded", question_seed=8))
    assert not accepted and "'question_seed' can't change within a run" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"settings": {"model": "m"}}, "'tasks' is missing"),
        ({"settings": values(), "policy": "p07"}, "has no policy 'p07'; it has p00, reflector"),
        ({"settings": values(), "policy": "reflector"}, "policy reflector only reflects"),
        ({"settings": values(name="fresh"), "policy": "p01"}, "there is no run 'fresh' yet"),
        ({"settings": values(model="other")}, "'model' can't change within a run"),
        ({"settings": values(name="imported")}, "was not created in this workspace (import)"),
    ],
)
def test_what_can_not_be_measured_is_refused(rows: Rows, arguments: dict[str, Any], words: str) -> None:
    """Wrong settings, unknown policies, one that can't answer, another experiment, missing weights."""
    reflector = rows.add_policy("reflector", None, "promoted")
    rows.connection.execute("UPDATE policies SET roles = 'reflector' WHERE id = ?", (reflector,))
    add_run(rows.connection, "imported", "none", values(name="imported"), "", origin="import")
    accepted, outcome = tell(rows, "evaluate", **arguments)
    assert not accepted and words in outcome
    assert newest(rows).id == rows.iteration


def test_a_reflector_is_never_the_next_parent(rows: Rows) -> None:
    """It answers no questions, whatever its place in the lineage; rolling back past it leaves it promoted."""
    reflector = rows.add_policy("reflector", None, "promoted")
    rows.connection.execute("UPDATE policies SET roles = 'reflector' WHERE id = ?", (reflector,))
    assert tell(rows, "rollback", policy=rows.policy)[0]
    state = rows.connection.execute("SELECT state FROM policies WHERE id = ?", (reflector,)).fetchone()[0]
    assert state == "promoted"
    now = current_policy(rows.connection, rows.run)
    assert now is not None and now.id == rows.policy
    for kind in ("rollback", "branch"):
        accepted, outcome = tell(rows, kind, policy=reflector)
        assert not accepted and "only reflects" in outcome


def test_an_evaluation_needs_the_device_to_itself(rows: Rows) -> None:
    """It queues as an iteration does, and others wait for it."""
    assert tell(rows, "evaluate", settings=values())[0]
    for kind, arguments in (("evaluate", {"settings": values()}), ("start_iteration", {"run": rows.run})):
        accepted, outcome = tell(rows, kind, **arguments)
        assert not accepted and "evaluation 1 of run 'run' is running" in outcome


def test_it_is_paused_stopped_resumed_and_given_up_as_an_iteration_is(rows: Rows) -> None:
    """Directives apply to it, and none restarts a skipped stage."""
    assert tell(rows, "evaluate", settings=values())[0]
    one = newest(rows)
    assert tell(rows, "pause") == (True, "evaluation 1 paused")
    assert tell(rows, "resume") == (True, "evaluation 1 resumed")
    assert tell(rows, "stop")[0]
    iterations.update_iteration(rows.connection, one.id, state="stopped")
    attempt = rows.question("q", split="test")
    rows.iteration = one.id
    rows.attempt(attempt, "unverified", protocol="oracle/x", error="too long")
    assert tell(rows, "retry_failed") == (True, "evaluation 1 resumed; 1 failed sample to retry")
    assert set(states(rows, one).values()) == {"skipped", "pending"}
    iterations.update_iteration(rows.connection, one.id, state="failed", control="stop")
    assert tell(rows, "reject") == (True, "evaluation 1 is abandoned; the next one can start")


def test_how_it_decodes_can_not_change_once_it_measures(rows: Rows) -> None:
    """Every decoding section belongs to its one stage: an evaluation must not mix two sets of settings."""
    assert tell(rows, "evaluate", settings=values())[0]
    one = newest(rows)
    assert tell(rows, "set_settings", settings={"correction": {"show_previous_attempt": False}})[0]
    iterations.set_stage(rows.connection, one.id, "evaluate", "running")
    iterations.set_progress(rows.connection, one.id, "evaluate", 1, 4)
    for section in ({"correction": {"show_previous_attempt": True}}, {"attempt": {"max_tokens": 7}}):
        accepted, outcome = tell(rows, "set_settings", settings=section)
        assert not accepted and "stage evaluate has begun" in outcome


def test_texts_are_taken_over_only_from_an_iteration_that_is_there(rows: Rows) -> None:
    """Refused before any work starts."""
    accepted, outcome = tell(rows, "start_iteration", run=rows.run, settings=values(reuse={"iteration": 2}))
    assert not accepted and "reuse.iteration is 2" in outcome
    accepted, outcome = tell(rows, "start_run", settings=values(name="new", reuse={"iteration": 1}))
    assert not accepted and "no earlier iteration" in outcome
    assert tell(rows, "start_iteration", run=rows.run, settings=values(reuse={"iteration": 1}))[0]


def test_a_failed_run_can_be_evaluated_once_it_can_be_prepared(rows: Rows) -> None:
    """Without a base policy the only valid name is that of the base policy."""
    with write(rows.connection):
        other = add_run(rows.connection, "other", "none", values(name="other"), "")
        set_run_state(rows.connection, other, "failed", "no model")
    assert not tell(rows, "evaluate", settings=values(name="other"), policy="p01")[0]
    assert tell(rows, "evaluate", settings=values(name="other"), policy="p00")[0]
    assert newest(rows).parent_id is None
