"""Reads the directives of a workspace for tests."""

from __future__ import annotations

import sqlite3

from store.database.rows import to_records
from store.records import Directive


def recent(connection: sqlite3.Connection, limit: int = 20) -> list[Directive]:
    """Return the newest directives, newest first."""
    return to_records(
        Directive, connection.execute("SELECT * FROM directives ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
    )
