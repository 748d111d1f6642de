"""Progress of imports: the source file of an imported run, the position reached, and counts of skipped records.

An import is identified by the content of its file. Its position advances in the transaction that stores the records up
to it, so that an interrupted import resumes where it stopped, and repeating a complete one changes nothing.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from store.database.connection import storable
from store.database.rows import dump_json, to_record, to_records
from store.database.search_buffer import narrow_search_buffer
from store.records import JsonObject, StageName
from store.rollouts.lift import store_lifts
from store.runs.iterations import add_iteration, set_stage, update_iteration
from store.runs.policies import add_policy
from store.runs.runs import add_run, run_named, set_run_state

IMPORTED_POLICY = "imported"
"""Name of the policy that represents the unknown author of imported texts."""

IMPORTED_VERSION = "imported"
"""Prompt version of imported texts, whose prompts are unknown."""

SEARCH_BUFFER = 16 << 20
"""Bytes that the search index buffers during an import: enough for a complete batch, which takes 40 % less time.
`finish_import` restores the default."""

IMPORTED_STAGES: tuple[StageName, ...] = ("attempt", "reflect", "correct", "curate")
"""The stages whose rows an import writes."""


@dataclass(frozen=True, slots=True)
class StoredImport:
    """An import as stored. `position` is in bytes; `details` holds counts by reason."""

    id: int
    run_id: int
    path: str
    format: str
    identity: str
    position: int
    size: int
    records: int
    skipped: int
    leaks: int
    details: JsonObject
    created: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class ImportTarget:
    """The rows that the data of an import belongs to."""

    import_id: int
    run_id: int
    iteration_id: int
    policy_id: int


def find_import(connection: sqlite3.Connection, identity: str) -> StoredImport | None:
    """Return the import with this identity (a hash of format, size and sampled content); None if none was begun."""
    row = connection.execute("SELECT * FROM imports WHERE identity = ?", (identity,)).fetchone()
    return to_record(StoredImport, row) if row else None


def list_imports(connection: sqlite3.Connection, run_id: int) -> list[StoredImport]:
    """Return the imports of a run, oldest first."""
    return to_records(
        StoredImport, connection.execute("SELECT * FROM imports WHERE run_id = ? ORDER BY id", (run_id,)).fetchall()
    )


def free_run_name(connection: sqlite3.Connection, wanted: str) -> str:
    """Return `wanted`, or if a run has that name already, `wanted-2` and so on."""
    name, tried = wanted, 1
    while run_named(connection, name) is not None:
        tried += 1
        name = f"{wanted}-{tried}"
    return name


def begin_import(
    connection: sqlite3.Connection, *, name: str, path: str, file_format: str, identity: str, size: int, task: str
) -> ImportTarget:
    """Insert a run with its policy and its only iteration, and the import; inside a write transaction.

    The iteration is in state `stopped` until `finish_import`, so that no engine works on it.
    """
    settings = {"import": {"path": storable(path), "format": file_format, "task": task}}
    run_id = add_run(connection, name, "unknown", settings, "", origin="import")
    set_run_state(connection, run_id, "ready")
    policy_id = add_policy(
        connection,
        run_id=run_id,
        parent_id=None,
        iteration_id=None,
        name=IMPORTED_POLICY,
        setting="import",
        path="",
        base_model="unknown",
        state="promoted",
        details=settings["import"],
    )
    iteration_id = add_iteration(connection, run_id, policy_id, settings, 0)
    update_iteration(connection, iteration_id, state="stopped", reason="the import is not complete")
    for stage in IMPORTED_STAGES:
        set_stage(connection, iteration_id, stage, "running")
    cursor = connection.execute(
        "INSERT INTO imports (run_id, path, format, identity, size, created) VALUES (?, ?, ?, ?, ?, ?)",
        (run_id, storable(path), file_format, identity, size, time.time()),
    )
    return ImportTarget(int(cursor.lastrowid or 0), run_id, iteration_id, policy_id)


def target_of(connection: sqlite3.Connection, stored: StoredImport) -> ImportTarget:
    """Return the rows that the data of an import already begun belongs to."""
    row = connection.execute(
        "SELECT i.id, i.parent_id FROM iterations i WHERE i.run_id = ? ORDER BY i.id LIMIT 1", (stored.run_id,)
    ).fetchone()
    return ImportTarget(stored.id, stored.run_id, int(row["id"]), int(row["parent_id"]))


@dataclass(frozen=True, slots=True)
class Advance:
    """Progress of an import after one batch: byte position, cumulative counts, and rows added by stage."""

    position: int
    records: int
    skipped: int
    leaks: int
    details: JsonObject
    added: Mapping[StageName, int]


def advance_import(connection: sqlite3.Connection, target: ImportTarget, before: int, advance: Advance) -> bool:
    """Advance the position from `before`, in the transaction that stores the records.

    Returns:
        False when another process has advanced it in the meantime; the transaction must then be rolled back.
    """
    moved = connection.execute(
        "UPDATE imports SET position = ?, records = ?, skipped = ?, leaks = ?, details = ?"
        " WHERE id = ? AND position = ? AND ended IS NULL",
        (
            *(advance.position, advance.records, advance.skipped, advance.leaks, dump_json(advance.details)),
            *(target.import_id, before),
        ),
    ).rowcount
    connection.executemany(
        "UPDATE stages SET done = done + ?, total = total + ? WHERE iteration_id = ? AND name = ?",
        [(n, n, target.iteration_id, stage) for stage, n in advance.added.items() if n],
    )
    return moved == 1


def finish_import(connection: sqlite3.Connection, target: ImportTarget, notes: Mapping[StageName, str]) -> None:
    """Mark an import as complete: stages with rows as done, stages without any as skipped. Stores the lifts.

    Args:
        connection: inside a write transaction.
        target: the import.
        notes: notes of the stages, by name.
    """
    now = time.time()
    narrow_search_buffer(connection)
    store_lifts(connection, target.iteration_id)
    connection.execute("UPDATE imports SET ended = ? WHERE id = ?", (now, target.import_id))
    connection.execute(
        "UPDATE stages SET state = CASE WHEN total > 0 THEN 'done' ELSE 'skipped' END, ended = ?"
        " WHERE iteration_id = ?",
        (now, target.iteration_id),
    )
    connection.executemany(
        "UPDATE stages SET note = ? WHERE iteration_id = ? AND name = ?",
        [(storable(note), target.iteration_id, stage) for stage, note in notes.items()],
    )
    update_iteration(connection, target.iteration_id, state="done", reason="", ended=now)
