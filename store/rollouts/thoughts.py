"""Thoughts of models that think, stored apart from the replies that they precede.

A thought is never shown in a prompt, and no filter, verdict or search reads it. It is stored as written, with its tags:
followed by the text of its row it is the whole reply, which training learns.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from store.database.connection import storable

ThoughtOf = Literal["attempt", "reflection"]
"""The kind of row that a thought belongs to."""


@dataclass(frozen=True, slots=True)
class Thought:
    """A thought as written, and how many tokens of its reply it is; the estimate follows the number of characters."""

    text: str
    tokens: int


def add_thought(connection: sqlite3.Connection, of: ThoughtOf, row_id: int, text: str, tokens: int) -> None:
    """Store the thought of a row; one that is stored already stays."""
    connection.execute(
        f"INSERT OR IGNORE INTO thoughts ({of}_id, text, tokens) VALUES (?, ?, ?)", (row_id, storable(text), tokens)
    )


def copy_thought(connection: sqlite3.Connection, of: ThoughtOf, row_id: int, source_id: int) -> None:
    """Store the thought of a row that copies another one, if that has a thought."""
    connection.execute(
        f"INSERT OR IGNORE INTO thoughts ({of}_id, text, tokens)"
        f" SELECT ?, text, tokens FROM thoughts WHERE {of}_id = ?",
        (row_id, source_id),
    )


def thoughts_of(connection: sqlite3.Connection, of: ThoughtOf, iteration_id: int) -> dict[int, str]:
    """Return the thoughts of an iteration's rows of a kind, as written, by the id of the row."""
    return {
        row[0]: row[1]
        for row in connection.execute(
            f"SELECT t.{of}_id, t.text FROM thoughts t JOIN {of}s r ON r.id = t.{of}_id WHERE r.iteration_id = ?",
            (iteration_id,),
        ).fetchall()
    }


def get_thought(connection: sqlite3.Connection, of: ThoughtOf, row_id: int) -> Thought | None:
    """Return the thought of a row; None if it has none."""
    row = connection.execute(f"SELECT text, tokens FROM thoughts WHERE {of}_id = ?", (row_id,)).fetchone()
    return None if row is None else Thought(row[0], row[1])
