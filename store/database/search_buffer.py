"""How much the search index gathers before it writes a segment: the more, the fewer segments have to be merged later.

The value is stored with the index. Left wide, after a kill, it costs writers nothing but memory they don't fill.
"""

from __future__ import annotations

import sqlite3

_USUAL = 1 << 20
"""SQLite's own."""


def widen_search_buffer(connection: sqlite3.Connection, size: int) -> None:
    """Let it gather so many bytes; takes effect within the transaction that is open or with the next one."""
    connection.execute("INSERT INTO trajectory_search (trajectory_search, rank) VALUES ('hashsize', ?)", (size,))


def narrow_search_buffer(connection: sqlite3.Connection) -> None:
    """Back to what suits single rows."""
    widen_search_buffer(connection, _USUAL)
