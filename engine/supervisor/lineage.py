"""Extends the lineage: selects the policy to start from, and closes iterations."""

from __future__ import annotations

import sqlite3
import time

from engine.evaluation.promotion import decide, describe_split
from engine.evaluation.protocol import feedbacks_of, protocol_name
from engine.evaluation.stored_results import compare_child
from engine.rollout.load_plan import settings_of
from store.control.telemetry import add_event
from store.database.connection import write
from store.records import Iteration, Policy, PolicyState
from store.runs import iterations
from store.runs.policies import BASE_POLICY, decide_policy, evaluations, find_policy, list_policies
from store.runs.runs import run_questions
from store.settings import RunSettings


def current_policy(connection: sqlite3.Connection, run_id: int) -> Policy | None:
    """Return the policy the next iteration starts from: the newest promoted one with the role of reasoner."""
    promoted = [
        policy
        for policy in list_policies(connection, run_id)
        if policy.state == "promoted" and "reasoner" in policy.roles.split()
    ]
    return promoted[-1] if promoted else None


def apply_rule(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> bool:
    """Promote or reject the child by the promotion rule and end the iteration; False if the rule leaves it undecided.

    Args:
        connection: not inside a transaction.
        iteration: an iteration whose stages are done.
        settings: its settings.
    """
    decision = decide(settings.evaluation, compare_child(connection, iteration))
    if decision.state == "undecided":
        return False
    reason = f"{decision.reason}; {describe_split(settings.evaluation)}"
    with write(connection):
        close_iteration(connection, iteration, decision.state, reason)
    return True


def close_iteration(connection: sqlite3.Connection, iteration: Iteration, state: PolicyState, reason: str) -> None:
    """Promote or reject the child policy, end the iteration, and start what follows.

    A promoted policy is first measured on the test questions if promotion is not decided on them; so is the policy that
    the last iteration ends with. Then the next iteration starts if more are to follow.

    Args:
        connection: inside a write transaction.
        iteration: an iteration whose stages are done.
        state: `promoted` or `rejected`.
        reason: why, for the lineage.
    """
    assert iteration.child_id is not None
    decide_policy(connection, iteration.child_id, state, reason)
    iterations.update_iteration(connection, iteration.id, state="done", reason=reason, ended=time.time())
    add_event(connection, "info", "engine", f"{iteration.title} done: child {state} – {reason}", iteration.id)
    reported = state == "promoted" or iteration.remaining == 0
    if not (reported and start_test_evaluation(connection, iteration)):
        start_following(connection, iteration)


def start_test_evaluation(connection: sqlite3.Connection, iteration: Iteration) -> bool:
    """Start to measure the base policy and the current one on the test questions, unless both were measured before.

    Nothing is decided on the result. The evaluation takes over the number of iterations that are to follow.

    Args:
        connection: inside a write transaction.
        iteration: the training iteration that has just ended.

    Returns:
        False if there is nothing to measure: promotion is decided on the test questions, there are none, or the
        policies have been measured on them.
    """
    settings = settings_of(iteration)
    questions = run_questions(connection, iteration.run_id, "test")
    base = find_policy(connection, iteration.run_id, BASE_POLICY)
    current = current_policy(connection, iteration.run_id)
    if not settings.reports_on_test or not questions or base is None or current is None:
        return False
    on_test = settings.model_copy(
        update={"evaluation": settings.evaluation.model_copy(update={"split": "test"}), "experiment": None}
    )
    wanted = {protocol_name(on_test, questions, feedback) for feedback in feedbacks_of(on_test)}
    measured: dict[int, set[str]] = {}
    for row in evaluations(connection, iteration.run_id):
        measured.setdefault(row.policy_id, set()).add(row.protocol)
    if all(wanted <= measured.get(policy.id, set()) for policy in (base, current)):
        return False
    iterations.add_iteration(
        connection,
        iteration.run_id,
        base.id,
        on_test.model_dump(mode="json"),
        iteration.remaining,
        "evaluation",
        child_id=None if current.id == base.id else current.id,
    )
    return True


def start_following(connection: sqlite3.Connection, iteration: Iteration) -> None:
    """Start the next iteration from the newest promoted policy if more are to follow; inside a write transaction.

    It has the settings of the newest training iteration of the run.
    """
    if iteration.remaining > 0:
        parent = current_policy(connection, iteration.run_id)
        newest = iterations.current_iteration(connection, iteration.run_id, "training")
        assert parent is not None and newest is not None
        iterations.add_iteration(connection, iteration.run_id, parent.id, newest.settings, iteration.remaining - 1)


def close_evaluation(connection: sqlite3.Connection, iteration: Iteration, reason: str) -> None:
    """End an evaluation whose policies have been measured, and start what follows; inside a write transaction.

    `reason` states the result.
    """
    iterations.update_iteration(connection, iteration.id, state="done", reason=reason, ended=time.time())
    add_event(connection, "info", "engine", f"{iteration.title} done: {reason}", iteration.id)
    start_following(connection, iteration)


def give_up_iteration(connection: sqlite3.Connection, iteration: Iteration, reason: str) -> None:
    """End an iteration that stopped or failed, so that another can start; its rows are kept, its child is rejected.

    Args:
        connection: inside a write transaction.
        iteration: an iteration that no process works on.
        reason: why, for the lineage.
    """
    if iteration.child_id is not None and iteration.kind == "training":
        decide_policy(connection, iteration.child_id, "rejected", reason)
    words = f"{reason}; {iteration.reason}" if iteration.reason else reason
    iterations.update_iteration(connection, iteration.id, state="done", control="run", reason=words, ended=time.time())
    add_event(connection, "warning", "engine", f"{iteration.title} ended early: {reason}", iteration.id)
