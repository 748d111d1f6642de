"""Tests of directives at a gate and about policies: approve, skip, reject, promote, roll back and branch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.supervisor.gate_notes import describe_gate
from engine.supervisor.lineage import current_policy
from store.runs import iterations, policies
from tests.engine.test_directives import add_child, at, stage
from tests.support.directives import tell
from tests.support.rows import Rows


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """A run whose first iteration is running."""
    made = Rows(tmp_path / "reflectevo.db")
    yield made
    made.connection.close()


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
    """Dependent stages are skipped too, the parent stays, and the lineage records who skipped what."""
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
    """The iteration continues to its promotion, whatever the rule."""
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
    """A running stage, or one that isn't waiting, must not be skipped by accident."""
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
    """The operator's reason, with the measured values, becomes the child's reason in the lineage."""
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
    """Rejecting at another gate would discard the iteration by accident."""
    stage(rows, "train", "waiting")
    at(rows, "waiting")
    accepted, outcome = tell(rows, "reject")
    assert not accepted and "iteration 1 is waiting, stop it first" in outcome


def test_promote_rollback_and_branch_move_in_the_lineage(rows: Rows) -> None:
    """The next iteration starts where the operator chose, and what was undone has a reason."""
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


def test_a_policy_is_rejected_wherever_it_stands(rows: Rows) -> None:
    """The lineage screen names the policy: for one that awaits a decision this finishes its iteration, for another it
    only changes the policy.
    """
    older = rows.add_policy("p09", rows.policy, "promoted", rows.iteration)
    assert tell(rows, "reject", policy=older) == (True, "policy p09 rejected")
    assert policies.get_policy(rows.connection, older).state == "rejected" and rows.current().state == "running"
    child = add_child(rows)
    at(rows, "waiting")
    assert tell(rows, "reject", policy=child) == (True, "policy p01 rejected")
    assert rows.current().state == "done"
    accepted, words = tell(rows, "reject", policy=rows.policy)
    assert not accepted and "is the run's base policy" in words
