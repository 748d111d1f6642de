"""Working times of an iteration (generation, training, curation) and the idle time between them.

The generator's busy times are the union of the intervals in which its texts were generated; those of training extend
from the first to the last optimizer step.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.control.telemetry import metrics
from store.estimates.activity import Interval, generated_texts, length, merged
from store.runs.iterations import get_iteration, stages


@dataclass(frozen=True, slots=True)
class Activity:
    """Busy intervals of one iteration, in order, each kind without overlaps."""

    whole: Interval
    generating: tuple[Interval, ...]
    training: tuple[Interval, ...]
    curating: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Idleness:
    """How the time of an iteration divides, in seconds.

    `idle` is the remainder: starting processes, loading models, writing a policy, hand-overs between stages.
    """

    whole: float
    generating: float
    training: float
    curating: float
    idle: float

    @property
    def without_generator(self) -> float:
        """Return the seconds in which neither generator nor training worked: idle time and waiting for curation."""
        return self.idle + self.curating

    def share_of(self, seconds: float) -> float:
        """Return the idle share in an iteration of another length, which works longer and waits for the same time."""
        return self.without_generator / seconds


def idleness(activity: Activity) -> Idleness:
    """Return how the time of an iteration divides. Where two kinds of work overlap, the time counts once, for the
    first.
    """
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


def iteration_activity(connection: sqlite3.Connection, iteration_id: int) -> Activity:
    """Return the times of a finished iteration; waiting at gates and pauses count as idle."""
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
    """Return the span of all steps: a step is reported when it ends, so one mean step is added before the first."""
    first, last = min(steps), max(steps)
    return first - (last - first) / (len(steps) - 1), last
