"""Tests of directives: each changes the desired state and records its outcome in one transaction, or is refused with a
message.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.supervisor.directives import _HANDLERS, apply_directive
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
    """Set the state of the iteration."""
    iterations.update_iteration(rows.connection, rows.iteration, state=state, **changes)


def stage(rows: Rows, name: str, state: str) -> None:
    """Set a stage, and all stages before it, to the states of a running iteration."""
    for earlier in iterations.stages(rows.connection, rows.iteration):
        if earlier.name == name:
            break
        iterations.set_stage(rows.connection, rows.iteration, earlier.name, "running")
        iterations.set_stage(rows.connection, rows.iteration, earlier.name, "done")
    iterations.set_stage(rows.connection, rows.iteration, name, state)


def add_child(rows: Rows) -> int:
    """Insert the iteration's child policy, all stages done."""
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
    """The run stores the settings and the directory that their relative paths refer to."""
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
    """Wrong settings, a name in use, a device in use: nothing is created, and the message names the remedy."""
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
    """Processes follow these columns, so a kill between the directive and its effect loses neither."""
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
    """Two active iterations would compete for the device."""
    at(rows, "stopped")
    assert tell(rows, "start_run", settings=values(name="second"))[0]
    for kind in ("resume", "retry_failed"):
        accepted, outcome = tell(rows, kind, iteration=rows.iteration)
        assert not accepted and "run 'second' is running" in outcome
    assert rows.current().state == "stopped"


@pytest.mark.parametrize("state", ["stopped", "failed"])
def test_an_iteration_that_can_not_go_on_can_be_given_up(rows: Rows, state: str) -> None:
    """Otherwise one failed iteration would block its run forever, since the next starts only after it."""
    child = add_child(rows)
    at(rows, state, control="stop", reason="out of memory", remaining=3)
    assert tell(rows, "reject") == (True, "iteration 1 is abandoned; the next one can start")
    assert rows.current().state == "done"
    assert "out of memory" in rows.current().reason
    assert policies.get_policy(rows.connection, child).state == "rejected"
    assert len(iterations.list_iterations(rows.connection)) == 1, "giving up starts nothing by itself"
    assert tell(rows, "start_iteration", run=rows.run)[0]


@pytest.mark.parametrize("kind", ["save_now", "shut_down"])
def test_words_that_only_the_supervisor_acts_on(rows: Rows, kind: str) -> None:
    """They change no row; the outcome reports what will happen, or why nothing can."""
    if kind == "save_now":
        accepted, outcome = tell(rows, kind)
        assert not accepted and "no training is running" in outcome
        stage(rows, "train", "running")
    assert tell(rows, kind)[0]
    assert rows.current().state == "running"


def test_an_unknown_kind_and_wrong_arguments_are_refused(rows: Rows) -> None:
    """A row written by a newer terminal, or manually, must not stop the engine."""
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
    """A directive that raised would stay pending and end every engine that starts: each gets an outcome."""
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


def test_an_imported_run_is_nothing_to_go_on_from(rows: Rows) -> None:
    """A settings file may use the name of an imported run: the directive is refused with a message instead of failing
    the engine.
    """
    with write(rows.connection):
        target = begin_import(
            rows.connection, name="published", path="x", file_format="raw", identity="x", size=1, task="quiz"
        )
    accepted, outcome = tell(rows, "start_iteration", run=target.run_id)
    assert not accepted and "was imported" in outcome
