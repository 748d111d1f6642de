"""Iterations and their stages: the state of the self-evolution loop. Only the engine writes these tables."""

from __future__ import annotations

import sqlite3
import time
from typing import TypedDict, Unpack

from store.database.rows import dump_json, to_record, to_records
from store.records import (
    Control,
    GateName,
    Iteration,
    IterationKind,
    IterationName,
    IterationState,
    JsonObject,
    Stage,
    StageName,
    StageState,
)
from store.runs.stages import STAGES


def add_iteration(
    connection: sqlite3.Connection,
    run_id: int,
    parent_id: int | None,
    settings: JsonObject,
    remaining: int,
    kind: IterationKind = "training",
    child_id: int | None = None,
) -> int:
    """Insert the next iteration of a run with its six stages; returns its id.

    An iteration of kind `evaluation` skips all stages but `evaluate`, which needs no approval as it was requested.

    Args:
        connection: inside a write transaction.
        run_id: the run.
        parent_id: the policy it starts from; None until the base model is prepared.
        settings: the resolved settings it runs with.
        remaining: how many iterations follow it automatically.
        kind: `training`, or `evaluation` to only evaluate the parent policy.
        child_id: a second policy to evaluate; only for an evaluation.
    """
    number = connection.execute(
        "SELECT coalesce(max(number), 0) + 1 FROM iterations WHERE run_id = ? AND kind = ?", (run_id, kind)
    ).fetchone()[0]
    cursor = connection.execute(
        "INSERT INTO iterations (run_id, number, kind, parent_id, child_id, settings, state, remaining, created)"
        " VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?)",
        (run_id, number, kind, parent_id, child_id, dump_json(settings), remaining, time.time()),
    )
    iteration_id = int(cursor.lastrowid or 0)
    measures = kind == "evaluation"
    connection.executemany(
        "INSERT INTO stages (iteration_id, position, name, state, approved) VALUES (?, ?, ?, ?, ?)",
        [
            (iteration_id, position, name, "skipped" if measures and name != "evaluate" else "pending", int(measures))
            for position, name in enumerate(STAGES)
        ],
    )
    return iteration_id


def get_iteration(connection: sqlite3.Connection, iteration_id: int) -> Iteration:
    """Return the iteration with that id, which must exist."""
    return to_record(Iteration, connection.execute("SELECT * FROM iterations WHERE id = ?", (iteration_id,)).fetchone())


def find_iteration(connection: sqlite3.Connection, run_id: int, number: int) -> Iteration | None:
    """Return the training iteration of a run with that number, if there is one."""
    row = connection.execute(
        "SELECT * FROM iterations WHERE run_id = ? AND number = ? AND kind = 'training'", (run_id, number)
    ).fetchone()
    return to_record(Iteration, row) if row else None


def list_iterations(connection: sqlite3.Connection, run_id: int | None = None) -> list[Iteration]:
    """Return the iterations of one run, or of all runs, oldest first."""
    return to_records(
        Iteration,
        connection.execute(
            "SELECT * FROM iterations WHERE ? IS NULL OR run_id = ? ORDER BY id", (run_id, run_id)
        ).fetchall(),
    )


def iteration_names(connection: sqlite3.Connection) -> list[IterationName]:
    """Return the names of all training iterations, oldest first, without loading their settings."""
    return to_records(
        IterationName,
        connection.execute(
            "SELECT i.id, i.number, r.name AS run FROM iterations i JOIN runs r ON r.id = i.run_id"
            " WHERE i.kind = 'training' ORDER BY i.id"
        ).fetchall(),
    )


def current_iteration(
    connection: sqlite3.Connection, run_id: int | None = None, kind: IterationKind | None = None
) -> Iteration | None:
    """Return the iteration to show or work on: the newest active one, else the newest.

    Imported iterations are considered only when their run is given, as no work is done on them here.

    Args:
        connection: a connection to the database.
        run_id: only iterations of this run; of all runs by default.
        kind: only iterations of this kind; of both kinds by default.
    """
    row = connection.execute(
        "SELECT i.* FROM iterations i JOIN runs r ON r.id = i.run_id"
        " WHERE (i.run_id = ?1 OR (?1 IS NULL AND r.origin <> 'import')) AND (?2 IS NULL OR i.kind = ?2)"
        " ORDER BY i.state IN ('running', 'waiting', 'paused') DESC, i.id DESC LIMIT 1",
        (run_id, kind),
    ).fetchone()
    return to_record(Iteration, row) if row else None


class IterationChanges(TypedDict, total=False):
    """The columns of an iteration that may change. `ended` is in seconds since 1970."""

    state: IterationState
    control: Control
    reason: str
    remaining: int
    parent_id: int
    child_id: int
    settings: JsonObject
    ended: float


def update_iteration(connection: sqlite3.Connection, iteration_id: int, **changes: Unpack[IterationChanges]) -> None:
    """Set columns of an iteration.

    Raises:
        ValueError: no column is given, or one that may not change.
    """
    if not changes or not set(changes) <= set(IterationChanges.__annotations__):
        wrong = sorted(set(changes) - set(IterationChanges.__annotations__))
        raise ValueError(f"not columns of an iteration that may change: {wrong}")
    columns: dict[str, object] = {**changes}
    if "settings" in changes:
        columns["settings"] = dump_json(changes["settings"])
    assignments = ", ".join(f"{name} = ?" for name in columns)
    connection.execute(f"UPDATE iterations SET {assignments} WHERE id = ?", (*columns.values(), iteration_id))


def stages(connection: sqlite3.Connection, iteration_id: int) -> list[Stage]:
    """Return the six stages of an iteration, in order."""
    return to_records(
        Stage,
        connection.execute("SELECT * FROM stages WHERE iteration_id = ? ORDER BY position", (iteration_id,)).fetchall(),
    )


def set_stage(
    connection: sqlite3.Connection, iteration_id: int, name: StageName, state: StageState, error: str | None = None
) -> None:
    """Set the state of a stage and update its start and end times; setting the same state again changes nothing."""
    now = time.time()
    connection.execute(
        "UPDATE stages SET state = ?1, error = ?2,"
        " started = CASE WHEN ?1 = 'running' THEN coalesce(started, ?3) ELSE started END,"
        " ended = CASE WHEN ?1 IN ('done', 'failed', 'skipped') THEN ?3 WHEN ?1 = 'running' THEN NULL ELSE ended END"
        " WHERE iteration_id = ?4 AND name = ?5 AND (state <> ?1 OR error IS NOT ?2)",
        (state, error, now, iteration_id, name),
    )


def approve_stage(connection: sqlite3.Connection, iteration_id: int, name: StageName) -> None:
    """Record that an operator approved a stage at its gate; the note on what it would do is cleared."""
    connection.execute(
        "UPDATE stages SET approved = 1, note = '' WHERE iteration_id = ? AND name = ?", (iteration_id, name)
    )


def set_progress(connection: sqlite3.Connection, iteration_id: int, name: StageName, done: int, total: int) -> None:
    """Store the number of finished items of a stage, and the total known so far."""
    connection.execute(
        "UPDATE stages SET done = ?, total = ? WHERE iteration_id = ? AND name = ?", (done, total, iteration_id, name)
    )


def set_note(connection: sqlite3.Connection, iteration_id: int, name: StageName, note: str) -> None:
    """Store a message on what a stage would do, or has done."""
    connection.execute("UPDATE stages SET note = ? WHERE iteration_id = ? AND name = ?", (note, iteration_id, name))


def waiting_gate(iteration: Iteration, all_stages: list[Stage]) -> GateName | None:
    """Return the gate an iteration waits at: a stage, or `promote` after evaluation; None when it doesn't wait."""
    if iteration.state != "waiting":
        return None
    for stage in all_stages:
        if stage.state == "waiting":
            return stage.name
    return "promote"


ACTIVE: tuple[IterationState, ...] = ("running", "waiting", "paused")
"""States of an iteration that occupies the device, or will do so."""
