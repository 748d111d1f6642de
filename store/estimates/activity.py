"""When an iteration generated, trained and curated: its working times, and what lay idle between them.

The generator's busy times are the union of the times its texts took; training's run from the first to the last
optimizer step. Reads the store; the arithmetic on intervals is pure.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from store.control.telemetry import metrics
from store.runs.iterations import get_iteration, stages

Interval = tuple[float, float]
"""Start and end in seconds of the clock."""

Table = Literal["attempts", "reflections"]
TABLES: tuple[Table, ...] = ("attempts", "reflections")
"""The tables that hold generated texts."""

NEWEST_TEXTS = 5_000
"""So many of the newest attempts, and of the newest reflections, stand for all: enough for a rate, quick to read."""


@dataclass(frozen=True, slots=True)
class Activity:
    """The times of one iteration, in order, each without overlaps."""

    whole: Interval
    generating: tuple[Interval, ...]
    training: tuple[Interval, ...]
    curating: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Idleness:
    """How an iteration's time divides, in seconds.

    `idle` is what is left: starts of processes, loads of models, writing a policy, hand-overs between stages.
    """

    whole: float
    generating: float
    training: float
    curating: float
    idle: float

    @property
    def without_generator(self) -> float:
        """Seconds in which neither generator nor training worked: idle, or waiting for curation."""
        return self.idle + self.curating

    def share_of(self, seconds: float) -> float:
        """The share of that in an iteration of another length, which works longer and waits for the same time."""
        return self.without_generator / seconds


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


def idleness(activity: Activity) -> Idleness:
    """How the time of an iteration divides. Where two kinds of work overlap, the time counts once, for the first."""
    start, end = activity.whole
    covered: list[Interval] = []
    parts: list[float] = []
    for intervals in (activity.generating, activity.training, activity.curating):
        within = [(max(one, start), min(two, end)) for one, two in intervals]
        before = length(covered)
        covered += [(one, two) for one, two in within if two > one]
        parts.append(length(covered) - before)
    whole = end - start
    generating, training, curating = parts
    return Idleness(whole, generating, training, curating, whole - length(covered))


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


def iteration_activity(connection: sqlite3.Connection, iteration_id: int) -> Activity:
    """The times of a finished iteration; one that was waited for at gates, or paused, shows the waiting as idle."""
    iteration = get_iteration(connection, iteration_id)
    known = {stage.name: stage for stage in stages(connection, iteration_id)}
    steps = [point.created for point in metrics(connection, iteration_id, "train", ("loss",), limit=1_000_000)]
    curate = known["curate"]
    curating = [(curate.started, curate.ended)] if curate.started and curate.ended else []
    begun = [stage.started for stage in known.values() if stage.started is not None]
    ended = [stage.ended for stage in known.values() if stage.ended is not None]
    return Activity(
        whole=(min(begun, default=iteration.created), iteration.ended or max(ended, default=iteration.created)),
        generating=merged((text.start, text.end) for text in generated_texts(connection, [iteration_id])),
        training=merged([_with_first_step(steps)]) if len(steps) > 1 else (),
        curating=merged(curating),
    )


def _with_first_step(steps: list[float]) -> Interval:
    """From the start of the first step to the end of the last: a step is said when it ends, so one more mean step."""
    first, last = min(steps), max(steps)
    return first - (last - first) / (len(steps) - 1), last
