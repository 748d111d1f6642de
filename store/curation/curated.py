"""What curation decided: the rows of D+, D± and Dpref, what the training needs of them, and where the rest went."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from store.curation.records import CuratedRow, FunnelCount
from store.curation.training_settings import SetName
from store.database.rows import to_record, to_records

NOT_JUDGED = "not judged yet"
"""The reason of a Dpref pair that waits for a judge; the Review screen lists these rows."""


@dataclass(frozen=True, slots=True)
class NewCurated:
    """A row of a training set, or what was left out of it and why, before it is stored."""

    set_name: SetName
    reflection_id: int
    """The chosen reflection of a pair; of any other row, the reflection it is about."""
    rejected_reflection_id: int | None
    """The other reflection of a pair."""
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
    connection: sqlite3.Connection, iteration_id: int, set_name: SetName, included: bool = True
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
    for kind, n in sorted(tallies(connection, iteration_id).items(), key=lambda one: -one[1]):
        set_name, named, reason = kind.partition("/")
        if named:
            counts.setdefault(set_name, {})[reason] = n
    return dict(sorted(counts.items()))


def tallies(connection: sqlite3.Connection, iteration_id: int) -> dict[str, int]:
    """How many rows an iteration has, by kind (see the schema); a kind with none may be missing."""
    rows = connection.execute("SELECT kind, n FROM tallies WHERE iteration_id = ? AND n > 0", (iteration_id,))
    return {row[0]: row[1] for row in rows}


def funnel(connection: sqlite3.Connection, iteration_id: int) -> list[FunnelCount]:
    """Where every row of every set went, by task, instruction and reason: by set, the most frequent first.

    Summed over tasks and instructions these are the `curation_counts`.
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
    """How many reflections and pairs of an iteration are decided differently than at a time (seconds since 1970).

    Only the decision in force counts: the newest review (a flag decides nothing), and of preferences the newest human
    one, else the newest. A decision that was taken back or replaced since then is not counted twice, or not at all.
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
