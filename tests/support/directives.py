"""Applies a directive through the engine's handlers, without a running engine."""

from __future__ import annotations

from engine.supervisor.directives import apply_directive
from store.control.directives import COMMANDS, find, issue, pending
from store.database.connection import write
from tests.support.rows import Rows


def tell(rows: Rows, kind: str, **arguments: object) -> tuple[bool, str]:
    """Issue a directive and apply it as the supervisor does; returns whether it was accepted, and the outcome."""
    uuid = issue(rows.connection, kind, arguments, issued_by="me@here")
    (directive,) = pending(rows.connection)
    with write(rows.connection):
        accepted = apply_directive(rows.connection, directive)
    stored = find(rows.connection, uuid)
    assert stored is not None and stored.outcome is not None
    # The outcome is stored in any case, and is logged for the operator too.
    assert stored.accepted == accepted
    last = rows.connection.execute("SELECT level, text FROM events ORDER BY id DESC LIMIT 1").fetchone()
    texts = [row[0] for row in rows.connection.execute("SELECT text FROM events WHERE source = 'directive'")]
    assert f"me@here: {COMMANDS.get(kind, kind)} – {stored.outcome}" in texts
    assert accepted or last["level"] == "warning"
    return accepted, stored.outcome
