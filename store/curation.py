"""What curation decided: the rows of D+, D± and Dpref, and what the training needs of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from store.records import CuratedRow
from store.rows import to_record, to_records


@dataclass(frozen=True, slots=True)
class NewCurated:
    """A decision to be written."""

    set_name: str
    reflection_id: int
    rejected_reflection_id: int | None
    correction_id: int | None
    included: bool
    reason: str


def replace_curated(connection: sqlite3.Connection, iteration_id: int, rows: Iterable[NewCurated]) -> None:
    """Replace the curation of an iteration; inside one write transaction, so that it is all there or not at all."""
    connection.execute("DELETE FROM curated WHERE iteration_id = ?", (iteration_id,))
    connection.executemany(
        "INSERT INTO curated (iteration_id, set_name, reflection_id, rejected_reflection_id, correction_id, included,"
        " reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                iteration_id,
                row.set_name,
                row.reflection_id,
                row.rejected_reflection_id,
                row.correction_id,
                int(row.included),
                row.reason,
            )
            for row in rows
        ],
    )


def curated(
    connection: sqlite3.Connection, iteration_id: int, set_name: str, included: bool = True
) -> list[CuratedRow]:
    """The rows of a set that are included (or left out), in a stable order."""
    return to_records(
        CuratedRow,
        connection.execute(
            "SELECT * FROM curated WHERE iteration_id = ? AND set_name = ? AND included = ? ORDER BY id",
            (iteration_id, set_name, int(included)),
        ).fetchall(),
    )


def get_curated(connection: sqlite3.Connection, curated_id: int) -> CuratedRow | None:
    """A curated row by id, included or not."""
    row = connection.execute("SELECT * FROM curated WHERE id = ?", (curated_id,)).fetchone()
    return to_record(CuratedRow, row) if row else None


def curation_counts(connection: sqlite3.Connection, iteration_id: int) -> dict[str, dict[str, int]]:
    """For each set: how many rows by reason; the included ones stand under `included`."""
    counts: dict[str, dict[str, int]] = {}
    for set_name, reason, n in connection.execute(
        "SELECT set_name, CASE WHEN included THEN 'included' ELSE reason END AS why, count(*)"
        " FROM curated WHERE iteration_id = ? GROUP BY set_name, why ORDER BY set_name, count(*) DESC",
        (iteration_id,),
    ):
        counts.setdefault(set_name, {})[reason] = n
    return counts
