"""The size of the buffer that the search index fills before it writes a segment; larger means fewer segments to merge.

The value is stored in the index. If it stays large after a crash, it only costs writers memory that they don't fill.
"""

from __future__ import annotations

import sqlite3

_USUAL = 1 << 20
"""SQLite's default, in bytes."""


def widen_search_buffer(connection: sqlite3.Connection, size: int) -> None:
    """Set the buffer to `size` bytes; takes effect in the open transaction, or else in the next one."""
    connection.execute("INSERT INTO trajectory_search (trajectory_search, rank) VALUES ('hashsize', ?)", (size,))


def narrow_search_buffer(connection: sqlite3.Connection) -> None:
    """Reset the buffer to the default, which suits single rows."""
    widen_search_buffer(connection, _USUAL)
