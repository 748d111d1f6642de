"""Policies and their evaluations."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence

from store.database.rows import dump_json, to_record, to_records
from store.records import Evaluation, JsonObject, Policy, PolicyState, Split


def add_policy(
    connection: sqlite3.Connection,
    *,
    run_id: int,
    parent_id: int | None,
    iteration_id: int | None,
    name: str,
    setting: str,
    path: str,
    base_model: str,
    state: PolicyState,
    details: JsonObject,
    roles: str = "reasoner reflector",
) -> int:
    """Insert a policy whose directory is complete; returns its id. An existing one of that name is kept unchanged."""
    connection.execute(
        "INSERT OR IGNORE INTO policies (run_id, parent_id, iteration_id, name, setting, roles, path, base_model,"
        " state, details, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(run_id, parent_id, iteration_id, name, setting, roles, path, base_model, state),
            *(dump_json(details), time.time()),
        ),
    )
    row = connection.execute("SELECT id FROM policies WHERE run_id = ? AND name = ?", (run_id, name)).fetchone()
    return int(row["id"])


def get_policy(connection: sqlite3.Connection, policy_id: int) -> Policy:
    """Return the policy with that id, which must exist."""
    return to_record(Policy, connection.execute("SELECT * FROM policies WHERE id = ?", (policy_id,)).fetchone())


def find_policy(connection: sqlite3.Connection, run_id: int, name: str) -> Policy | None:
    """Return the policy of that name in a run, if there is one."""
    row = connection.execute("SELECT * FROM policies WHERE run_id = ? AND name = ?", (run_id, name)).fetchone()
    return to_record(Policy, row) if row else None


def list_policies(connection: sqlite3.Connection, run_id: int) -> list[Policy]:
    """Return all policies of a run, oldest first."""
    return to_records(
        Policy, connection.execute("SELECT * FROM policies WHERE run_id = ? ORDER BY id", (run_id,)).fetchall()
    )


def decide_policy(connection: sqlite3.Connection, policy_id: int, state: PolicyState, reason: str) -> None:
    """Promote or reject a policy, with the reason."""
    connection.execute("UPDATE policies SET state = ?, reason = ? WHERE id = ?", (state, reason, policy_id))


def put_evaluation(
    connection: sqlite3.Connection,
    *,
    policy_id: int,
    iteration_id: int | None,
    protocol: str,
    task: str,
    n: int,
    metrics: Mapping[str, object],
    split: Split = "test",
) -> None:
    """Store the metrics of a policy under a protocol; newer values replace older ones.

    `split` is that of the questions, which the protocol's digest implies.
    """
    connection.execute(
        "INSERT INTO evaluations (policy_id, iteration_id, protocol, task, n, metrics, split, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (policy_id, protocol, task) DO UPDATE SET"
        " n = excluded.n, metrics = excluded.metrics, created = excluded.created",
        (policy_id, iteration_id, protocol, task, n, dump_json(metrics), split, time.time()),
    )


def add_evaluation_metrics(connection: sqlite3.Connection, evaluation_id: int, metrics: Mapping[str, object]) -> None:
    """Add metrics to a stored evaluation, whose other metrics and time stay the same; inside a write transaction."""
    row = connection.execute("SELECT metrics FROM evaluations WHERE id = ?", (evaluation_id,)).fetchone()
    connection.execute(
        "UPDATE evaluations SET metrics = ? WHERE id = ?",
        (dump_json({**json.loads(row["metrics"]), **metrics}), evaluation_id),
    )


def newest_evaluation(measured: Sequence[Evaluation], policy_id: int) -> Evaluation | None:
    """Return the evaluation to show for a policy, over all tasks: the newest of the given ones.

    If both protocols were measured together, it is the one with an oracle, which decides on the promotion.
    """
    mine = {one.protocol: one for one in measured if one.policy_id == policy_id and one.task == ""}
    if not mine:
        return None
    newest = list(mine)[-1]
    feedback, _, digest = newest.partition("/")
    return mine.get(f"oracle/{digest}", mine[newest]) if feedback == "oracle-free" else mine[newest]


def evaluations(connection: sqlite3.Connection, run_id: int) -> list[Evaluation]:
    """Return all evaluations of a run's policies, the newest last."""
    return to_records(
        Evaluation,
        connection.execute(
            "SELECT e.* FROM evaluations e JOIN policies p ON p.id = e.policy_id WHERE p.run_id = ?"
            " ORDER BY e.created, e.id",
            (run_id,),
        ).fetchall(),
    )


BASE_POLICY = "p00"
"""Name of a run's base policy."""


REFLECTOR_POLICY = "reflector"
"""Name of the policy that writes a run's reflections, if its settings name a model for that."""
