"""The operator's own instruction parts, stored when a run is prepared: later changes of the file don't affect the
run's prompts."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from store.database.connection import storable

PARTS = ("verify", "locate", "plan")


def put_instruction_parts(connection: sqlite3.Connection, run_id: int, parts: Mapping[str, Sequence[str]]) -> None:
    """Store the texts of a run's own parts by kind, in order; replaces those of an earlier preparation."""
    connection.execute("DELETE FROM instruction_parts WHERE run_id = ?", (run_id,))
    connection.executemany(
        "INSERT INTO instruction_parts (run_id, part, position, text) VALUES (?, ?, ?, ?)",
        [
            (run_id, part, position, storable(text))
            for part, texts in parts.items()
            for position, text in enumerate(texts)
        ],
    )


def instruction_parts(connection: sqlite3.Connection, run_id: int) -> dict[str, tuple[str, ...]]:
    """Return the texts of a run's own parts by kind (`verify`, `locate`, `plan`), in order."""
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for part, text in connection.execute(
        "SELECT part, text FROM instruction_parts WHERE run_id = ? ORDER BY part, position", (run_id,)
    ):
        found[part].append(text)
    return {part: tuple(texts) for part, texts in found.items()}
