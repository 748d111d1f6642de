"""Extends the lineage: selects the policy to start from, and closes iterations."""

from __future__ import annotations

import sqlite3
import time

from store.control.telemetry import add_event
from store.records import Iteration, Policy, PolicyState
from store.runs import iterations
from store.runs.policies import decide_policy, list_policies


def current_policy(connection: sqlite3.Connection, run_id: int) -> Policy | None:
    """Return the policy the next iteration starts from: the newest promoted one with the role of reasoner."""
    promoted = [
        policy
        for policy in list_policies(connection, run_id)
        if policy.state == "promoted" and "reasoner" in policy.roles.split()
    ]
    return promoted[-1] if promoted else None


def close_iteration(connection: sqlite3.Connection, iteration: Iteration, state: PolicyState, reason: str) -> None:
    """Promote or reject the child policy, end the iteration, and start the next one if more are to follow.

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
    start_following(connection, iteration)


def start_following(connection: sqlite3.Connection, iteration: Iteration) -> None:
    """Start the next iteration from the newest promoted policy if more are to follow; inside a write transaction."""
    if iteration.remaining > 0:
        parent = current_policy(connection, iteration.run_id)
        assert parent is not None
        iterations.add_iteration(connection, iteration.run_id, parent.id, iteration.settings, iteration.remaining - 1)


def close_evaluation(connection: sqlite3.Connection, iteration: Iteration, reason: str) -> None:
    """End an evaluation whose policy has been measured; inside a write transaction. `reason` states the result."""
    iterations.update_iteration(connection, iteration.id, state="done", reason=reason, ended=time.time())
    add_event(connection, "info", "engine", f"{iteration.title} done: {reason}", iteration.id)


def give_up_iteration(connection: sqlite3.Connection, iteration: Iteration, reason: str) -> None:
    """End an iteration that stopped or failed, so that another can start; its rows are kept, its child is rejected.

    Args:
        connection: inside a write transaction.
        iteration: an iteration that no process works on.
        reason: why, for the lineage.
    """
    if iteration.child_id is not None:
        decide_policy(connection, iteration.child_id, "rejected", reason)
    words = f"{reason}; {iteration.reason}" if iteration.reason else reason
    iterations.update_iteration(connection, iteration.id, state="done", control="run", reason=words, ended=time.time())
    add_event(connection, "warning", "engine", f"{iteration.title} ended early: {reason}", iteration.id)
