"""The rows of D+, D± and Dpref as curated: included rows, rows left out with their reason, and counts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from store.curation.records import CuratedRow, FunnelCount
from store.curation.training_settings import SetName
from store.database.rows import to_record, to_records

NOT_JUDGED = "not judged yet"
"""Reason of a Dpref pair that waits for a judge; the Review screen lists these rows."""


@dataclass(frozen=True, slots=True)
class NewCurated:
    """A row to store: included in a training set, or left out of it with a reason."""

    set_name: SetName
    reflection_id: int
    """The reflection of the row; of a pair, the chosen one."""
    rejected_reflection_id: int | None
    """The rejected reflection of a pair; None in D+."""
    correction_id: int | None
    included: bool
    reason: str


def replace_curated(connection: sqlite3.Connection, iteration_id: int, rows: Iterable[NewCurated]) -> None:
    """Replace the curated rows of an iteration; inside a write transaction, so that the replacement is atomic."""
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
    connection: sqlite3.Connection, iteration_id: int, set_name: SetName, included: bool = True
) -> list[CuratedRow]:
    """Return the rows of a set that are included (or left out), ordered by id."""
    return to_records(
        CuratedRow,
        connection.execute(
            "SELECT * FROM curated WHERE iteration_id = ? AND set_name = ? AND included = ? ORDER BY id",
            (iteration_id, set_name, int(included)),
        ).fetchall(),
    )


def get_curated(connection: sqlite3.Connection, curated_id: int) -> CuratedRow | None:
    """Return a curated row by id, included or not; None if there is none."""
    row = connection.execute("SELECT * FROM curated WHERE id = ?", (curated_id,)).fetchone()
    return to_record(CuratedRow, row) if row else None


def curation_counts(connection: sqlite3.Connection, iteration_id: int) -> dict[SetName, dict[str, int]]:
    """Return the number of rows by set and reason; included rows are counted under `included`."""
    counts: dict[SetName, dict[str, int]] = {}
    for kind, n in sorted(tallies(connection, iteration_id).items(), key=lambda one: -one[1]):
        set_name, named, reason = kind.partition("/")
        if named:
            counts.setdefault(cast(SetName, set_name), {})[reason] = n
    return dict(sorted(counts.items()))


def tallies(connection: sqlite3.Connection, iteration_id: int) -> dict[str, int]:
    """Return the stored row counts of an iteration by kind (see the schema); kinds without rows are left out."""
    rows = connection.execute("SELECT kind, n FROM tallies WHERE iteration_id = ? AND n > 0", (iteration_id,))
    return {row[0]: row[1] for row in rows}


def funnel(connection: sqlite3.Connection, iteration_id: int) -> list[FunnelCount]:
    """Count the rows by set, task, instruction and reason; ordered by set, the most frequent first.

    Summed over tasks and instructions, the counts equal `curation_counts`.
    """
    return to_records(
        FunnelCount,
        connection.execute(
            "SELECT c.set_name, q.task, r.instruction,"
            " CASE WHEN c.included THEN 'included' ELSE c.reason END AS reason, c.included, count(*) AS n"
            " FROM curated c JOIN reflections r ON r.id = c.reflection_id JOIN attempts a ON a.id = r.attempt_id"
            " JOIN questions q ON q.id = a.question_id WHERE c.iteration_id = ?"
            " GROUP BY c.set_name, q.task, r.instruction, 4, c.included"
            " ORDER BY c.set_name, n DESC, 4, q.task, r.instruction",
            (iteration_id,),
        ).fetchall(),
    )


_REVIEW_IN_FORCE = (
    "(SELECT CASE WHEN v.decision IN ('accept', 'reject') THEN v.decision END FROM reviews v"
    " WHERE v.reflection_id = changed.id AND v.created <= {until} ORDER BY v.id DESC LIMIT 1)"
)
_PREFERENCE_IN_FORCE = (
    "(SELECT p.chosen_id || '/' || p.confidence FROM preferences p"
    " WHERE ((p.chosen_id = changed.one AND p.rejected_id = changed.other)"
    " OR (p.chosen_id = changed.other AND p.rejected_id = changed.one)) AND p.created <= {until}"
    " ORDER BY p.source = 'human' DESC, p.id DESC LIMIT 1)"
)
_NOW = "9e999"


def decisions_since(connection: sqlite3.Connection, iteration_id: int, since: float) -> int:
    """Count the reflections and pairs of an iteration whose decision in force has changed since a time.

    The decision in force is the newest review (a flag decides nothing), or the newest human preference, else the newest
    preference. A decision replaced several times counts once, one made and withdrawn since then doesn't count.

    Args:
        connection: a reader.
        iteration_id: the iteration.
        since: in seconds since 1970.
    """
    found: int = connection.execute(
        "SELECT (SELECT count(*) FROM (SELECT DISTINCT r.id FROM reviews v JOIN reflections r ON r.id = v.reflection_id"
        " WHERE r.iteration_id = ?1 AND v.created > ?2) changed"
        f" WHERE {_REVIEW_IN_FORCE.format(until=_NOW)} IS NOT {_REVIEW_IN_FORCE.format(until='?2')})"
        " + (SELECT count(*) FROM (SELECT DISTINCT min(p.chosen_id, p.rejected_id) AS one,"
        " max(p.chosen_id, p.rejected_id) AS other FROM preferences p JOIN reflections r ON r.id = p.chosen_id"
        " WHERE r.iteration_id = ?1 AND p.created > ?2) changed"
        f" WHERE {_PREFERENCE_IN_FORCE.format(until=_NOW)} IS NOT {_PREFERENCE_IN_FORCE.format(until='?2')})",
        (iteration_id, since),
    ).fetchone()[0]
    return found
