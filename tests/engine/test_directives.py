"""Protects directives: each changes the wanted state and records its outcome at once, or refuses in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.supervisor.directives import _HANDLERS, apply_directive
from engine.supervisor.gate_notes import describe_gate
from engine.supervisor.lineage import current_policy
from store.control.directives import KINDS, find, issue, pending
from store.database.connection import write
from store.exchange.imports import begin_import
from store.records import Directive
from store.runs import iterations, policies
from store.runs.runs import run_named
from tests.support.directives import tell
from tests.support.rows import Rows, run_settings


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A run whose first iteration is running."""
    made = Rows(tmp_path / "reflectevo.db")
    yield made
    made.connection.close()


def at(rows: Rows, state: str, **changes: Any) -> None:
    """Put the iteration into a state."""
    iterations.update_iteration(rows.connection, rows.iteration, state=state, **changes)


def stage(rows: Rows, name: str, state: str) -> None:
    """Put a stage, and with it all before it, where a running iteration would have it."""
    for earlier in iterations.stages(rows.connection, rows.iteration):
        if earlier.name == name:
            break
        iterations.set_stage(rows.connection, rows.iteration, earlier.name, "running")
        iterations.set_stage(rows.connection, rows.iteration, earlier.name, "done")
    iterations.set_stage(rows.connection, rows.iteration, name, state)


def add_child(rows: Rows) -> int:
    """The iteration's child policy, all stages done."""
    child = rows.add_policy("p01", rows.policy, "candidate", rows.iteration)
    stage(rows, "evaluate", "done")
    iterations.update_iteration(rows.connection, rows.iteration, child_id=child)
    return child


def values(**changes: Any) -> dict[str, Any]:
    """Settings as a directive carries them."""
    return run_settings(**changes).model_dump(mode="json")


def test_every_kind_that_can_be_issued_is_obeyed() -> None:
    """A kind without a handler would be accepted by the terminal and refused by the engine."""
    assert set(_HANDLERS) == set(KINDS)


def test_start_run_stores_settings_and_its_first_iteration(rows: Rows) -> None:
    """The run keeps the settings and the directory their relative paths belong to."""
    at(rows, "done")
    new = values(name="second", iterations=3)
    assert tell(rows, "start_run", settings=new, base_directory="/data") == (True, "run 'second' started")
    run = run_named(rows.connection, "second")
    assert run is not None and (run.state, run.base_directory) == ("new", "/data")
    iteration = iterations.current_iteration(rows.connection, run.id)
    assert iteration is not None
    assert (iteration.number, iteration.parent_id, iteration.remaining, iteration.state) == (1, None, 2, "running")


@pytest.mark.parametrize(
    ("state", "arguments", "words"),
    [
        ("done", {"settings": {"model": "m"}}, "'tasks' is missing"),
        ("done", {}, "'model' is missing"),
        ("done", {"settings": "text"}, "valid dictionary"),
        ("done", {"settings": run_settings().model_dump(mode="json")}, "there is a run 'run' already"),
        ("waiting", {"settings": values(name="second")}, "iteration 1 of run 'run' is waiting; let it finish, or stop"),
    ],
)
def test_start_run_refuses(rows: Rows, state: str, arguments: dict[str, Any], words: str) -> None:
    """Wrong settings, a name in use, a device in use: nothing is made, and the words say what to do."""
    at(rows, state)
    accepted, outcome = tell(rows, "start_run", **arguments)
    assert not accepted
    assert words in outcome
    assert len(iterations.list_iterations(rows.connection)) == 1


def test_start_iteration_goes_on_from_the_newest_promoted_policy(rows: Rows) -> None:
    """The promoted child is the next parent; a rejected one is not."""
    first = rows.add_policy("p01", rows.policy, "promoted")
    rows.add_policy("p02", first, "rejected")
    at(rows, "done")
    assert tell(rows, "start_iteration", run=rows.run) == (True, "next iteration started from policy p01")
    started = iterations.current_iteration(rows.connection)
    assert started is not None and (started.number, started.parent_id) == (2, first)


@pytest.mark.parametrize(
    ("state", "arguments", "words"),
    [
        ("stopped", {"run": 1}, "iteration 1 is stopped; resume it, or reject it first"),
        ("running", {"run": 1}, "iteration 1 is running"),
        ("done", {"run": 99}, "there is no run 99"),
        ("done", {}, "'run' must be an id, it is None"),
        ("done", {"run": True}, "must be an id"),
        ("done", {"run": 2**70}, "must be an id"),
        ("done", {"run": 1, "parent": 99}, "there is no policy 99"),
        ("done", {"run": 1, "settings": values(model="other")}, "'model' can't change within a run"),
        ("done", {"run": 1, "settings": values(seed=9)}, "'seed' can't change within a run"),
    ],
)
def test_start_iteration_refuses(rows: Rows, state: str, arguments: dict[str, Any], words: str) -> None:
    """An unfinished iteration, unknown ids, and settings that would make the run another experiment."""
    at(rows, state)
    accepted, outcome = tell(rows, "start_iteration", **arguments)
    assert not accepted and words in outcome
    assert len(iterations.list_iterations(rows.connection)) == 1


def test_pause_resume_and_stop_set_the_wanted_state(rows: Rows) -> None:
    """Processes follow these columns, so a kill between word and deed loses neither."""
    assert tell(rows, "pause") == (True, "iteration 1 paused")
    assert (rows.current().control, rows.current().state) == ("pause", "paused")
    assert tell(rows, "resume")[0]
    assert (rows.current().control, rows.current().state) == ("run", "running")
    assert tell(rows, "stop", iteration=rows.iteration)[0]
    assert rows.current().control == "stop"
    at(rows, "stopped")
    for kind, words in (("pause", "nothing to pause"), ("stop", "is stopped already")):
        accepted, outcome = tell(rows, kind)
        assert not accepted and words in outcome
    assert tell(rows, "resume")[0]
    at(rows, "done")
    accepted, outcome = tell(rows, "resume")
    assert not accepted and "start the next one" in outcome


def test_an_unknown_iteration_is_refused(rows: Rows) -> None:
    """An id from another workspace must not hit the current iteration."""
    for kind in ("pause", "resume", "stop", "approve", "skip", "reject", "retry_failed", "set_settings", "save_now"):
        accepted, outcome = tell(rows, kind, iteration=77)
        assert not accepted and "no such iteration" in outcome, kind


def test_only_one_iteration_is_resumed_at_a_time(rows: Rows) -> None:
    """Two active iterations would take the device from each other in turns."""
    at(rows, "stopped")
    assert tell(rows, "start_run", settings=values(name="second"))[0]
    for kind in ("resume", "retry_failed"):
        accepted, outcome = tell(rows, kind, iteration=rows.iteration)
        assert not accepted and "run 'second' is running" in outcome
    assert rows.current().state == "stopped"


def test_approve_lets_the_waiting_stage_pass_and_no_other(rows: Rows) -> None:
    """An approval that arrives late, for a gate passed already, must not open the next one."""
    accepted, outcome = tell(rows, "approve", stage="train")
    assert not accepted and "does not wait at a gate 'train'" in outcome
    stage(rows, "train", "waiting")
    at(rows, "waiting", reason="gate train: …")
    assert not tell(rows, "approve", stage="reflect")[0]
    assert tell(rows, "approve", stage="train") == (True, "stage train approved")
    assert (rows.stages()["train"].approved, rows.stages()["train"].state) == (True, "pending")
    assert (rows.current().state, rows.current().reason) == ("running", "")
    assert not tell(rows, "approve")[0]


def test_run_stage_is_the_word_that_step_pace_waits_for(rows: Rows) -> None:
    """In step pace every stage is a gate; `run_stage` opens it."""
    stage(rows, "attempt", "waiting")
    at(rows, "waiting")
    assert tell(rows, "run_stage", stage="attempt")[0]
    assert rows.stages()["attempt"].approved


@pytest.mark.parametrize("gate", ["attempt", "reflect", "correct", "curate", "train"])
def test_a_skipped_stage_ends_the_iteration_without_a_child(rows: Rows, gate: str) -> None:
    """What depends on it is left out too, the parent stays, and the lineage says who skipped what."""
    stage(rows, gate, "waiting")
    at(rows, "waiting", remaining=1)
    assert tell(rows, "skip", stage=gate, issued_by="somebody else")[0]
    states = {name: one.state for name, one in rows.stages().items()}
    names = list(states)
    assert {states[name] for name in names[names.index(gate) :]} == {"skipped"}
    assert {states[name] for name in names[: names.index(gate)]} <= {"done"}
    one = rows.current()
    assert (one.state, one.child_id, one.parent_id) == ("done", None, rows.policy)
    assert one.reason.startswith(f"{gate} skipped by me@here, and therefore ") and one.reason.endswith("evaluate")
    following = iterations.current_iteration(rows.connection)
    assert following is not None and (following.number, following.parent_id) == (2, rows.policy)
    assert not tell(rows, "skip", iteration=rows.iteration)[0], "a second word finds nothing that waits"


def test_a_skipped_evaluation_leaves_the_child_to_the_operator(rows: Rows) -> None:
    """The iteration goes on to its promotion, whatever the rule says."""
    child = rows.add_policy("p01", rows.policy, "candidate", rows.iteration)
    stage(rows, "evaluate", "waiting")
    at(rows, "waiting", child_id=child)
    assert tell(rows, "skip")[0]
    assert (rows.stages()["evaluate"].state, rows.current().state) == ("skipped", "running")
    assert policies.get_policy(rows.connection, child).state == "candidate"
    words = describe_gate(rows.connection, rows.current(), "promote")
    assert "no comparison of the child" in words
    at(rows, "waiting", reason=words)
    assert not tell(rows, "skip")[0], "a promotion is decided, not skipped"
    assert tell(rows, "approve") == (True, "policy p01 promoted")


def test_only_a_stage_that_waits_can_be_skipped(rows: Rows) -> None:
    """A running stage, or another than the one that waits, is not left out by a slip of the finger."""
    assert not tell(rows, "skip")[0]
    stage(rows, "train", "running")
    assert not tell(rows, "skip", stage="train")[0]
    stage(rows, "train", "waiting")
    at(rows, "waiting")
    accepted, outcome = tell(rows, "skip", stage="evaluate")
    assert not accepted and "does not wait at a gate 'evaluate'" in outcome
    assert "skipped" not in {one.state for one in rows.stages().values()}


@pytest.mark.parametrize(("kind", "state"), [("approve", "promoted"), ("reject", "rejected")])
def test_the_promote_gate_settles_the_child(rows: Rows, kind: str, state: str) -> None:
    """The operator's word, with what was measured, becomes the child's reason in the lineage."""
    child = add_child(rows)
    at(rows, "waiting", reason="Acc@t2 +1.0 points", remaining=1)
    assert tell(rows, kind) == (True, f"policy p01 {state}")
    policy = policies.get_policy(rows.connection, child)
    assert policy.state == state
    assert " by me@here; " in policy.reason and policy.reason.endswith("Acc@t2 +1.0 points")
    assert rows.current().state == "done"
    following = iterations.current_iteration(rows.connection)
    assert following is not None and following.number == 2
    assert following.parent_id == (child if state == "promoted" else rows.policy)


def test_reject_refuses_where_nothing_waits_for_promotion(rows: Rows) -> None:
    """Rejecting at another gate would throw the iteration away by a slip of the finger."""
    stage(rows, "train", "waiting")
    at(rows, "waiting")
    accepted, outcome = tell(rows, "reject")
    assert not accepted and "iteration 1 is waiting, stop it first" in outcome


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_an_iteration_that_can_not_go_on_can_be_given_up(rows: Rows, state: str) -> None:
    """Otherwise one broken iteration would block its run for ever, since the next starts only after it."""
    child = add_child(rows)
    at(rows, state, control="stop", reason="out of memory", remaining=3)
    assert tell(rows, "reject") == (True, "iteration 1 is abandoned; the next one can start")
    assert rows.current().state == "done"
    assert "out of memory" in rows.current().reason
    assert policies.get_policy(rows.connection, child).state == "rejected"
    assert len(iterations.list_iterations(rows.connection)) == 1, "giving up starts nothing by itself"
    assert tell(rows, "start_iteration", run=rows.run)[0]


def test_promote_rollback_and_branch_move_in_the_lineage(rows: Rows) -> None:
    """Where the next iteration starts follows the operator, and what was undone says why."""
    one = rows.add_policy("p01", rows.policy, "promoted")
    two = rows.add_policy("p02", one, "rejected")
    at(rows, "done")
    assert tell(rows, "promote", policy=two) == (True, "policy p02 promoted")
    now = current_policy(rows.connection, rows.run)
    assert now is not None and now.id == two
    accepted, outcome = tell(rows, "rollback", policy=rows.policy)
    assert accepted and outcome == "the next iteration starts from p00; rejected: p01, p02"
    now = current_policy(rows.connection, rows.run)
    assert now is not None and now.id == rows.policy
    assert policies.get_policy(rows.connection, two).reason == "rolled back to p00"
    assert tell(rows, "branch", policy=one) == (True, "next iteration started from policy p01")
    started = iterations.current_iteration(rows.connection)
    assert started is not None and started.parent_id == one
    for kind in ("promote", "rollback", "branch"):
        accepted, outcome = tell(rows, kind, policy=99)
        assert not accepted and "there is no policy 99" in outcome


def test_promote_at_its_gate_ends_the_iteration(rows: Rows) -> None:
    """Promoting the waiting child by its id is the same as approving the gate."""
    child = add_child(rows)
    at(rows, "waiting")
    assert tell(rows, "promote", policy=child)[0]
    assert rows.current().state == "done"


@pytest.mark.parametrize("kind", ["save_now", "shut_down"])
def test_words_that_only_the_supervisor_acts_on(rows: Rows, kind: str) -> None:
    """They change no row; the outcome says what will happen, or why nothing can."""
    if kind == "save_now":
        accepted, outcome = tell(rows, kind)
        assert not accepted and "no training is running" in outcome
        stage(rows, "train", "running")
    assert tell(rows, kind)[0]
    assert rows.current().state == "running"


def test_an_unknown_kind_and_wrong_arguments_are_refused(rows: Rows) -> None:
    """A row written by a newer terminal, or by hand, must not stop the engine."""
    for kind, arguments, words in (("dance", {}, "does not know"), ("pause", [1], "must be an object")):
        directive = Directive(1, "u", kind, arguments, "me", 0.0, None, None, None, None)  # type: ignore[arg-type]
        with write(rows.connection):
            assert apply_directive(rows.connection, directive) is False
        last = rows.connection.execute("SELECT text FROM events ORDER BY id DESC LIMIT 1").fetchone()[0]
        assert words in last


def test_outcome_and_effect_are_one_transaction(rows: Rows) -> None:
    """Rolled back together, a directive is still pending and nothing of it was applied."""
    uuid = issue(rows.connection, "pause")
    with pytest.raises(sqlite3.OperationalError), write(rows.connection):
        assert apply_directive(rows.connection, pending(rows.connection)[0])
        assert rows.current().state == "paused"
        raise sqlite3.OperationalError("disk I/O error")
    assert rows.current().state == "running"
    directive = find(rows.connection, uuid)
    assert directive is not None and directive.done is None
    assert rows.connection.execute("SELECT count(*) FROM events").fetchone()[0] == 0


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_NAMES = st.sampled_from(["run", "policy", "iteration", "parent", "stage", "settings", "base_directory", "x"])


@given(st.sampled_from(sorted(KINDS)), st.dictionaries(_NAMES, _JSON | st.integers(1, 3), max_size=4), st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_arguments_whatever_stop_the_engine(rows: Rows, kind: str, arguments: dict[str, Any], done: bool) -> None:
    """A directive that raised would be pending for ever and end every engine that starts: each gets an outcome."""
    with write(rows.connection):
        at(rows, "done" if done else "running", control="run")
    uuid = issue(rows.connection, kind, arguments)
    try:
        with write(rows.connection):
            apply_directive(rows.connection, pending(rows.connection)[0])
            directive = find(rows.connection, uuid)
            assert directive is not None and directive.outcome
            raise InterruptedError
    except InterruptedError:
        rows.connection.execute("DELETE FROM directives")


def test_a_policy_is_rejected_wherever_it_stands(rows: Rows) -> None:
    """The lineage screen names the policy: one that waits for the word settles its iteration, another only changes."""
    older = rows.add_policy("p09", rows.policy, "promoted", rows.iteration)
    assert tell(rows, "reject", policy=older) == (True, "policy p09 rejected")
    assert policies.get_policy(rows.connection, older).state == "rejected" and rows.current().state == "running"
    child = add_child(rows)
    at(rows, "waiting")
    assert tell(rows, "reject", policy=child) == (True, "policy p01 rejected")
    assert rows.current().state == "done"
    accepted, words = tell(rows, "reject", policy=rows.policy)
    assert not accepted and "is the run's base policy" in words


def test_an_imported_run_is_nothing_to_go_on_from(rows: Rows) -> None:
    """A settings file may name a run as an import is named: one word, not an engine that trips over its settings."""
    with write(rows.connection):
        target = begin_import(
            rows.connection, name="published", path="x", file_format="raw", identity="x", size=1, task="quiz"
        )
    accepted, outcome = tell(rows, "start_iteration", run=target.run_id)
    assert not accepted and "was imported" in outcome
