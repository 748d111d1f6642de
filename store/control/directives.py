"""The operator → engine mailbox. Terminals insert, the engine claims each directive once and says what came of it."""

from __future__ import annotations

import getpass
import socket
import sqlite3
import time
import uuid as uuid_module

from store.database.connection import storable
from store.database.rows import dump_json, to_record, to_records
from store.errors import DirectiveRefused
from store.records import Directive, JsonObject

KINDS = frozenset(
    {
        "start_run",
        "start_iteration",
        "run_stage",
        "pause",
        "resume",
        "save_now",
        "stop",
        "approve",
        "skip",
        "reject",
        "promote",
        "rollback",
        "branch",
        "evaluate",
        "retry_failed",
        "set_settings",
        "shut_down",
    }
)
"""Every kind the engine obeys."""


def operator_name() -> str:
    """Who issues directives from this terminal: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def issue(
    connection: sqlite3.Connection,
    kind: str,
    arguments: JsonObject | None = None,
    *,
    issued_by: str | None = None,
    uuid: str | None = None,
) -> str:
    """Insert a directive in autocommit and return its uuid; the same uuid twice is one directive.

    Raises:
        DirectiveRefused: for a kind the engine doesn't know.
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
    """Directives without an outcome, in the order they were issued."""
    return to_records(
        Directive, connection.execute("SELECT * FROM directives WHERE done IS NULL ORDER BY id").fetchall()
    )


def finish(connection: sqlite3.Connection, directive_id: int, accepted: bool, outcome: str) -> None:
    """Record the outcome; inside the transaction that applied the directive, so that both happen or neither."""
    now = time.time()
    connection.execute(
        "UPDATE directives SET claimed = coalesce(claimed, ?), done = ?, accepted = ?, outcome = ? WHERE id = ?",
        (now, now, int(accepted), storable(outcome), directive_id),
    )


def find(connection: sqlite3.Connection, uuid: str) -> Directive | None:
    """The directive with that uuid."""
    row = connection.execute("SELECT * FROM directives WHERE uuid = ?", (uuid,)).fetchone()
    return to_record(Directive, row) if row else None


def recent(connection: sqlite3.Connection, limit: int = 20) -> list[Directive]:
    """The newest directives, newest first."""
    return to_records(
        Directive, connection.execute("SELECT * FROM directives ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
    )
