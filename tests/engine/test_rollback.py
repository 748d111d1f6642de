"""Tests of continuing from another policy while a gate waits: the iteration is closed with a reason, none of its
results is lost, and a refused or outdated directive changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.supervisor.lineage import current_policy
from store.records import Iteration
from store.runs import iterations, policies
from tests.support.directives import tell
from tests.support.rows import Rows


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A run with a second policy, whose iteration waits before its training."""
    made = Rows(tmp_path / "reflectevo.db")
    made.add_policy("p01", made.policy, "promoted")
    wait_at(made, "train")
    yield made
    made.connection.close()


def wait_at(rows: Rows, gate: str) -> None:
    """Finish every stage before the gate."""
    for stage in iterations.stages(rows.connection, rows.iteration):
        iterations.set_stage(rows.connection, rows.iteration, stage.name, "waiting" if stage.name == gate else "done")
        if stage.name == gate:
            break
    iterations.update_iteration(rows.connection, rows.iteration, state="waiting")


def settings_with(rows: Rows, **training: Any) -> None:
    """Change settings at the gate as an operator would."""
    settings = dict(rows.current().settings)
    settings["training"] = {**settings["training"], **training}
    iterations.update_iteration(rows.connection, rows.iteration, settings=settings)


def earlier(rows: Rows) -> int:
    """The policy promoted after the base."""
    found = policies.find_policy(rows.connection, rows.run, "p01")
    assert found is not None
    return found.id


def newest(rows: Rows) -> Iteration:
    """The engine's current iteration."""
    found = iterations.current_iteration(rows.connection)
    assert found is not None
    return found


def states(rows: Rows, iteration: int) -> list[str]:
    """The states of the stages."""
    return [stage.state for stage in iterations.stages(rows.connection, iteration)]


@pytest.mark.parametrize("kind", ["rollback", "branch"])
def test_without_the_word_nothing_is_put_aside(rows: Rows, kind: str) -> None:
    """An iteration ends at its gate only on the operator's directive, since it can't be resumed."""
    accepted, outcome = tell(rows, kind, policy=rows.policy)
    assert not accepted and "is waiting at gate train" in outcome and f"reflectevo {kind} p00 --put-aside" in outcome
    assert rows.current().state == "waiting"
    assert policies.get_policy(rows.connection, earlier(rows)).state == "promoted"


def test_branching_at_a_gate_puts_the_iteration_aside(rows: Rows) -> None:
    """The new iteration replaces it: with the settings as changed at the gate, and the same remaining iterations."""
    settings_with(rows, learning_rate=3e-5)
    iterations.update_iteration(rows.connection, rows.iteration, remaining=2)
    accepted, outcome = tell(rows, "branch", policy=rows.policy, put_aside=rows.iteration, stage="train")
    assert accepted, outcome
    assert outcome == "iteration 1 ended at gate train; next iteration started from policy p00"
    left = iterations.get_iteration(rows.connection, rows.iteration)
    assert left.state == "done" and left.reason == "ended at gate train by me@here, who branched from p00"
    assert states(rows, left.id) == ["done"] * 4 + ["skipped"] * 2
    started = newest(rows)
    assert started.id != left.id and started.parent_id == rows.policy and started.state == "running"
    assert started.remaining == 2 and started.settings["training"]["learning_rate"] == 3e-5


def test_going_back_at_a_gate_starts_what_was_to_follow(rows: Rows) -> None:
    """As after a skip: with iterations outstanding the next one starts from the policy, otherwise the run rests."""
    iterations.update_iteration(rows.connection, rows.iteration, remaining=1)
    accepted, outcome = tell(rows, "rollback", policy=rows.policy, put_aside=rows.iteration)
    assert accepted, outcome
    assert "iteration 1 ended at gate train" in outcome and "rejected: p01" in outcome
    started = newest(rows)
    assert started.parent_id == rows.policy and started.remaining == 0
    now = current_policy(rows.connection, rows.run)
    assert now is not None and now.id == rows.policy


@pytest.mark.parametrize(("kind", "state"), [("rollback", "rejected"), ("branch", "candidate")])
def test_the_child_at_the_promote_gate(rows: Rows, kind: str, state: str) -> None:
    """Going back rejects the child that waited; branching leaves it to a later decision in Lineage."""
    child = rows.add_policy("p02", rows.policy, "candidate", rows.iteration)
    wait_at(rows, "none")
    iterations.update_iteration(rows.connection, rows.iteration, child_id=child)
    assert tell(rows, kind, policy=rows.policy, put_aside=rows.iteration, stage="promote")[0]
    assert policies.get_policy(rows.connection, child).state == state
    assert iterations.get_iteration(rows.connection, rows.iteration).state == "done"
    assert "skipped" not in states(rows, rows.iteration), "every stage was done"
    if kind == "branch":
        assert tell(rows, "promote", policy=child)[0]
    else:
        assert newest(rows).id == rows.iteration, "nothing more was asked for"


def test_one_can_branch_from_the_waiting_child_but_not_go_back_to_it(rows: Rows) -> None:
    """Going back to the child would promote it past its gate without a decision."""
    child = rows.add_policy("p02", rows.policy, "candidate", rows.iteration)
    wait_at(rows, "none")
    iterations.update_iteration(rows.connection, rows.iteration, child_id=child)
    accepted, outcome = tell(rows, "rollback", policy=child, put_aside=rows.iteration)
    assert not accepted and "still waiting for your decision on p02" in outcome and rows.current().state == "waiting"
    assert tell(rows, "branch", policy=child, put_aside=rows.iteration)[0]
    assert newest(rows).parent_id == child


@pytest.mark.parametrize("kind", ["rollback", "branch"])
def test_an_old_look_at_the_gate_changes_nothing(rows: Rows, kind: str) -> None:
    """Another operator was faster: the gate is approved, or the iteration waits at the next gate."""
    for wrong in ({"put_aside": rows.iteration, "stage": "curate"}, {"put_aside": 99}, {"put_aside": "x"}):
        assert not tell(rows, kind, policy=rows.policy, **wrong)[0]
        assert rows.current().state == "waiting"
    assert tell(rows, "approve")[0]
    accepted, outcome = tell(rows, kind, policy=rows.policy, put_aside=rows.iteration, stage="train")
    assert not accepted and "no longer waiting at its gate 'train'" in outcome
    assert rows.current().state == "running" and len(iterations.list_iterations(rows.connection)) == 1
    assert policies.get_policy(rows.connection, earlier(rows)).state == "promoted"


def test_a_refused_branch_leaves_the_gate_as_it_was(rows: Rows) -> None:
    """An error in the new iteration is found before the old one is ended."""
    reflector = rows.add_policy("helper", rows.policy, "promoted")
    rows.connection.execute("UPDATE policies SET roles = 'reflector' WHERE id = ?", (reflector,))
    other = {**rows.current().settings, "seed": 99}
    for arguments in ({"policy": reflector}, {"policy": rows.policy, "settings": other}):
        accepted, _ = tell(rows, "branch", put_aside=rows.iteration, **arguments)
        assert not accepted
        assert newest(rows).id == rows.iteration and rows.current().state == "waiting"
        assert states(rows, rows.iteration)[-2:] == ["waiting", "pending"]
