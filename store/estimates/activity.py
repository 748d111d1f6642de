"""When iterations generated: the newest texts with their times, and the union of those times.

Reads the store; the arithmetic on intervals is pure.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Interval = tuple[float, float]
"""Start and end in seconds of the clock."""

Table = Literal["attempts", "reflections"]
TABLES: tuple[Table, ...] = ("attempts", "reflections")
"""The tables that hold generated texts."""

NEWEST_TEXTS = 5_000
"""So many of the newest attempts, and of the newest reflections, stand for all: enough for a rate, quick to read."""


def merged(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The union of intervals, in order and without overlaps; what has no length is left out."""
    found: list[Interval] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return tuple(found)


def length(intervals: Iterable[Interval]) -> float:
    """Seconds that a union of intervals covers."""
    return sum(end - start for start, end in merged(intervals))


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """When a text was generated, and how many tokens it has."""

    start: float
    end: float
    tokens: int


def id_list(numbers: Iterable[int]) -> str:
    """Ids as SQL: numbers of ours, so that written out they can stand in every part of a compound query."""
    return ", ".join(str(int(number)) for number in numbers)


def first_id(connection: sqlite3.Connection, table: Table, marks: str) -> int:
    """The lowest id that the rollouts of some iterations have, or 0."""
    row = connection.execute(
        f"SELECT min(id) FROM {table} WHERE iteration_id IN ({marks}) AND protocol = ''"
    ).fetchone()
    return int(row[0] or 0)


def generated_texts(connection: sqlite3.Connection, iteration_ids: Iterable[int]) -> list[GeneratedText]:
    """The newest texts that some iterations generated, their evaluations included.

    All that were made since a time are there, so that tokens and times fit each other.
    """
    marks = id_list(iteration_ids)
    texts: list[GeneratedText] = []
    since = 0.0
    for table in TABLES:
        # The unary plus keeps SQLite from sorting the whole iteration: a walk back along the ids ends after some pages.
        newest = [
            GeneratedText(row[0], row[1], row[2])
            for row in connection.execute(
                f"SELECT created - latency, created, completion_tokens FROM {table} WHERE id >= ? AND"
                f" +iteration_id IN ({marks}) AND latency > 0 AND reused_from IS NULL AND error IS NULL"
                " ORDER BY id DESC LIMIT ?",
                (first_id(connection, table, marks), NEWEST_TEXTS),
            )
        ]
        if len(newest) == NEWEST_TEXTS:
            since = max(since, newest[-1].end)
        texts += newest
    return [text for text in texts if text.end >= since]
