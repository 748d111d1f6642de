"""Skips a stage that waits at its gate.

A stage needs the output of the one before it, so skipping one skips all stages after it too, and the iteration ends
without a child; its parent remains the current policy. The exception is the evaluation, which comes after the child
has been trained: if it is skipped, the operator decides on the child without a comparison.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

from engine.supervisor.lineage import start_following
from store.control.telemetry import add_event
from store.records import Iteration, Stage, StageName
from store.runs import iterations
from store.runs.policies import get_policy


def skipped_with(gate: StageName, stages: Sequence[Stage]) -> tuple[StageName, ...]:
    """Return the stages that are skipped along with the one at `gate`: itself and all that depend on it."""
    names = [stage.name for stage in stages]
    return tuple(names[names.index(gate) :])


def skip_stage(connection: sqlite3.Connection, iteration: Iteration, gate: StageName, by: str) -> str:
    """Skip a stage that waits at its gate; returns the outcome as a message.

    Args:
        connection: inside a write transaction.
        iteration: an iteration that waits at the gate of a stage.
        gate: that stage.
        by: who skipped it, for the reason of the iteration.
    """
    stages = iterations.stages(connection, iteration.id)
    left_out = skipped_with(gate, stages)
    for name in left_out:
        iterations.set_stage(connection, iteration.id, name, "skipped")
        iterations.set_note(connection, iteration.id, name, f"skipped by {by}")
    if gate == "evaluate":
        iterations.update_iteration(connection, iteration.id, state="running", reason="")
        return "stage evaluate skipped; the child waits for your decision without a comparison"
    also = f", and therefore {', '.join(left_out[1:])}" if left_out[1:] else ""
    reason = f"{gate} skipped by {by}{also}"
    iterations.update_iteration(connection, iteration.id, state="done", reason=reason, ended=time.time())
    kept = get_policy(connection, iteration.parent_id).name if iteration.parent_id is not None else "the base policy"
    add_event(connection, "info", "engine", f"{iteration.title} done without a child: {reason}", iteration.id)
    start_following(connection, iteration)
    return f"{iteration.title} ended without a child; {kept} remains the current policy"
