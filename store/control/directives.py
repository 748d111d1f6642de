"""The operator → engine mailbox. Terminals insert, the engine claims each directive once and says what came of it."""

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
"""Every kind the engine applies."""

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
"""What an operator calls a directive: its command of `reflectevo`, where there is one."""


def operator_name() -> str:
    """Who issues directives from this terminal: `user@host`."""
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
