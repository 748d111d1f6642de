"""The queue of directives from operators to the engine: terminals insert them, the engine records their outcome."""

from __future__ import annotations

import getpass
import socket
import sqlite3
import time
import uuid as uuid_module
from collections.abc import Mapping
from typing import get_args

from store.database.connection import storable
from store.database.rows import dump_json, to_record, to_records
from store.errors import DirectiveRefused
from store.records import Directive, DirectiveKind, JsonObject

KINDS: tuple[DirectiveKind, ...] = get_args(DirectiveKind)
"""All kinds of directives."""

COMMANDS: Mapping[DirectiveKind, str] = {
    **{kind: kind for kind in KINDS},
    "start_run": "run",
    "start_iteration": "run",
    "run_stage": "approve",
    "save_now": "save-now",
    "evaluate": "eval",
    "retry_failed": "retry",
    "set_settings": "change of settings",
    "shut_down": "shutdown",
}
"""The name of each directive in messages: its `reflectevo` command, if there is one."""


def operator_name() -> str:
    """Return the name under which this terminal issues directives: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def issue(
    connection: sqlite3.Connection,
    kind: DirectiveKind,
    arguments: JsonObject | None = None,
    *,
    issued_by: str | None = None,
    uuid: str | None = None,
) -> str:
    """Insert a directive in autocommit mode and return its uuid; the same uuid again inserts nothing.

    Args:
        connection: a writer in autocommit mode.
        kind: one of `KINDS`.
        arguments: the arguments of the directive, stored as JSON.
        issued_by: name of the operator; `operator_name()` by default.
        uuid: identity of the directive; a new one by default.

    Raises:
        DirectiveRefused: the kind is unknown.
    """
    if kind not in KINDS:
        raise DirectiveRefused(f"unknown directive {kind!r}; known are {', '.join(sorted(KINDS))}")
    identity = uuid or str(uuid_module.uuid4())
    connection.execute(
        "INSERT OR IGNORE INTO directives (uuid, kind, arguments, issued_by, created) VALUES (?, ?, ?, ?, ?)",
        (identity, kind, dump_json(arguments or {}), issued_by or operator_name(), time.time()),
    )
    return identity


def pending(connection: sqlite3.Connection) -> list[Directive]:
    """Return the directives without an outcome, in the order they were issued."""
    return to_records(
        Directive, connection.execute("SELECT * FROM directives WHERE done IS NULL ORDER BY id").fetchall()
    )


def accepted_since(connection: sqlite3.Connection, kind: DirectiveKind, since: float) -> list[Directive]:
    """Return the accepted directives of a kind that were issued at or after a time (in seconds since 1970)."""
    return to_records(
        Directive,
        connection.execute(
            "SELECT * FROM directives WHERE kind = ? AND accepted = 1 AND created >= ? ORDER BY id", (kind, since)
        ).fetchall(),
    )


def finish(connection: sqlite3.Connection, directive_id: int, accepted: bool, outcome: str) -> None:
    """Record the outcome, inside the transaction that applies the directive, so that both are committed or neither."""
    now = time.time()
    connection.execute(
        "UPDATE directives SET claimed = coalesce(claimed, ?), done = ?, accepted = ?, outcome = ? WHERE id = ?",
        (now, now, int(accepted), storable(outcome), directive_id),
    )


def find(connection: sqlite3.Connection, uuid: str) -> Directive | None:
    """Return the directive with that uuid, if there is one."""
    row = connection.execute("SELECT * FROM directives WHERE uuid = ?", (uuid,)).fetchone()
    return to_record(Directive, row) if row else None
