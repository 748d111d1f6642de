"""What stored rows say is settled: rollout stages that owe nothing, measured policies, child against parent."""

from __future__ import annotations

import sqlite3

from engine.evaluation import answered, feedback_of
from engine.situation import held_out_sweep, settings_of
from engine.statistics import Comparison, compare
from engine.sweep import count
from store import iterations
from store.connection import write
from store.policies import evaluations
from store.records import Iteration
from store.settings import ROLLOUT_STAGES


def settle_rollouts(connection: sqlite3.Connection, iteration_id: int) -> None:
    """Mark rollout stages done as soon as the stages before them are done and they owe nothing themselves.

    In flow pace the three overlap; this tells an operator which of them has ended while the others go on.
    """
    ended = []
    for stage in iterations.stages(connection, iteration_id):
        if stage.name not in ROLLOUT_STAGES:
            break
        if stage.state == "done":
            continue
        if stage.state != "running" or not stage.total or stage.owed:
            break
        ended.append(stage.name)
    # The last one ends with the child, which may still have held-out questions to answer.
    ended = [name for name in ended if name != ROLLOUT_STAGES[-1]]
    if ended:
        with write(connection):
            for name in ended:
                iterations.set_stage(connection, iteration_id, name, "done")


def evaluated_policies(connection: sqlite3.Connection, iteration: Iteration) -> set[int]:
    """Which of parent and child have every held-out answer under the iteration's protocol, and their metrics stored."""
    stored = {(row.policy_id, row.protocol) for row in evaluations(connection, iteration.run_id) if row.task == ""}
    found = set()
    for policy_id in (iteration.parent_id, iteration.child_id):
        if policy_id is None:
            continue
        progressed = held_out_sweep(connection, iteration.id, policy_id)
        if (policy_id, progressed.sweep.protocol) in stored and count(progressed.sweep, progressed.done).complete:
            found.add(policy_id)
    return found


def compare_child(connection: sqlite3.Connection, iteration: Iteration) -> Comparison:
    """The paired comparison of an iteration's child with its parent on the held-out questions."""
    assert iteration.parent_id is not None and iteration.child_id is not None
    settings = settings_of(iteration)
    rows = []
    for policy_id in (iteration.parent_id, iteration.child_id):
        progressed = held_out_sweep(connection, iteration.id, policy_id)
        rows.append(answered(progressed.sweep.questions, progressed.done))
    return compare(rows[0], rows[1], protocol=feedback_of(settings), seed=settings.seed)
