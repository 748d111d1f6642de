"""Operator decisions on reflections: append-only, the newest one is in force."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Literal

from store.control.directives import operator_name
from store.database.connection import storable, write
from store.database.rows import to_record
from store.errors import DatabaseFailed

Decision = Literal["accept", "reject", "flag", "clear"]
NamesError = Literal["yes", "partly", "no"]

LOCATE_KINDS: tuple[str, ...] = (
    "calculation",
    "order of steps",
    "logical coherence",
    "internal consistency",
    "context",
    "relevance",
    "format",
    "facts",
)
"""The kinds of mistake that the instructions of the pool look for (part `l`)."""

ERROR_KINDS: tuple[str, ...] = (*LOCATE_KINDS, "other")
"""Names of `error_kind` 1 to 9: the kinds of the pool, and any other kind."""

NAMES_ERROR: tuple[NamesError, ...] = ("yes", "partly", "no")
"""Whether a reflection names the error in the attempt, i.e. localises it."""

_ERRORS_NAMED = 7
"""Version of the schema that added `names_error`, the sample, and the kind `other`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Size and seed of a sample drawn for review, see `review_queue.draw_queue`."""

    size: int
    seed: int


@dataclass(frozen=True, slots=True)
class ErrorMarks:
    """What a reviewer recorded about the error in an attempt; None for what was not recorded."""

    error_kind: int | None = None
    """Kind of the error in the attempt, from 1 as in `ERROR_KINDS`."""
    names_error: NamesError | None = None
    """Whether the reflection names that error."""


@dataclass(frozen=True, slots=True)
class Review:
    """A decision as stored. `error_kind` counts from 1."""

    id: int
    reflection_id: int
    decision: Decision
    error_kind: int | None
    note: str
    reviewer: str
    created: float
    names_error: NamesError | None = None

    @property
    def marks(self) -> ErrorMarks:
        """What it records about the error."""
        return ErrorMarks(self.error_kind, self.names_error)


def review_columns(connection: sqlite3.Connection) -> tuple[str, str, str, str]:
    """Return SQL for `error_kind`, `names_error`, `sample_size` and `sample_seed` of a table named `v`.

    A database that no engine has migrated yet can still be read: what its schema lacks is NULL.
    """
    added = ("names_error", "sample_size", "sample_seed")
    known = _version(connection) >= _ERRORS_NAMED
    first, second, third = (f"v.{name}" if known else f"NULL AS {name}" for name in added)
    return "v.error_kind", first, second, third


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def add_review(
    connection: sqlite3.Connection,
    reflection_id: int,
    decision: Decision,
    *,
    error_kind: int | None = None,
    names_error: NamesError | None = None,
    sample: Sample | None = None,
    note: str = "",
    reviewer: str | None = None,
) -> int:
    """Append a decision on a reflection in its own transaction and return its id.

    Args:
        connection: a writer.
        reflection_id: the reflection.
        decision: `accept`, `reject`, `flag`, or `clear` to withdraw the previous one.
        error_kind: kind of mistake in the attempt, from 1 as in `ERROR_KINDS`.
        names_error: whether the reflection names that mistake.
        sample: the sample in which the reflection was shown; None outside any.
        note: the reason, for later readers.
        reviewer: who decided; the user of this terminal by default.

    Raises:
        DatabaseFailed: if no engine has migrated the database yet and its schema can't store these values.
    """
    values: dict[str, object] = {
        "reflection_id": reflection_id,
        "decision": decision,
        "error_kind": error_kind,
        "note": storable(note),
        "reviewer": reviewer or operator_name(),
        "created": time.time(),
    }
    if _version(connection) >= _ERRORS_NAMED:
        size, seed = (sample.size, sample.seed) if sample else (None, None)
        values |= {"names_error": names_error, "sample_size": size, "sample_seed": seed}
    elif names_error is not None or error_kind == len(ERROR_KINDS):
        raise DatabaseFailed(
            "the workspace has an older schema, which can't store whether a reflection names the error, nor the error"
            " kind `other`; start the engine once to upgrade it"
        )
    with write(connection):
        cursor = connection.execute(
            f"INSERT INTO reviews ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})", tuple(values.values())
        )
        # By attempt and reflection, for which there is an index.
        connection.execute(
            "UPDATE trajectories SET review = ? WHERE attempt_id = (SELECT attempt_id FROM reflections WHERE id = ?)"
            " AND ifnull(reflection_id, 0) = ?",
            ("" if decision == "clear" else decision, reflection_id, reflection_id),
        )
    return int(cursor.lastrowid or 0)


def newest_review(connection: sqlite3.Connection, reflection_id: int) -> Review | None:
    """Return the decision in force on a reflection; None if there is none or it was withdrawn."""
    row = connection.execute(
        "SELECT v.id, v.reflection_id, v.decision, v.note, v.reviewer, v.created,"
        f" {', '.join(review_columns(connection))} FROM reviews v WHERE v.reflection_id = ? ORDER BY v.id DESC LIMIT 1",
        (reflection_id,),
    ).fetchone()
    return None if row is None or row["decision"] == "clear" else to_record(Review, row)
