"""Means over seeds and tasks of the outcomes of a control measurement, with a 95 % interval. Pure.

Every task and every seed has the same weight. Seeds are crossed with questions, as in the paired estimates of an
experiment: the interval over the questions, each averaged over its seeds, is combined with the variance between seeds
(`store.evaluation.intervals.over_seeds`). Unlike there, a question need not have an outcome in every seed, because the
seeds answer different questions wrong at first. The interval over questions is then widened by Kish's design effect of
their unequal weights (Kish 1965, Survey Sampling, section 11.7).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from store.evaluation.intervals import Interval, over_seeds
from store.evaluation.power import effective_pairs, smallest_difference, smallest_over_seeds

Outcomes = Mapping[int, float]
"""Outcome or difference of outcomes by question id."""

Tasks = Mapping[int, str]
"""Task by question id."""

IntervalOf = Callable[[Sequence[Sequence[float]]], Interval]
"""Interval of a mean over tasks, from the values of each task's questions."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over tasks of a share or a difference, with a 95 % interval; all three are None if n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Number of questions."""
    seeds: tuple[float, ...] = ()
    """The mean of each seed, if there are several."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The outcomes that a mean is computed from, on the tasks that all seeds have outcomes of."""

    groups: tuple[tuple[float, ...], ...]
    """By task, the outcome of each question, averaged over the seeds that have it."""
    means: tuple[float, ...]
    """The mean over tasks of each seed."""
    n: int
    """Number of questions."""
    design_effect: float
    """Factor of the variance over questions due to unequal weights; 1 if every seed has every question."""

    @property
    def value(self) -> float:
        """The mean over seeds and tasks."""
        return average(self.means)

    def over_questions(self, interval_of: IntervalOf) -> Interval:
        """Return the interval over questions, which ignores the variance between seeds."""
        found, centre = interval_of(self.groups), average([average(group) for group in self.groups])
        width = math.sqrt(self.design_effect)
        return Interval(self.value - width * (centre - found.low), self.value + width * (found.high - centre))

    def smallest(self) -> float | None:
        """Return the smallest difference that is shown with a power of 80 %; None if none can be."""
        n, discordant = effective_pairs(self.groups)
        return smallest_over_seeds(smallest_difference(n / self.design_effect, discordant), self.means)


def sample(several: Sequence[Outcomes], tasks: Tasks) -> Sample | None:
    """Return the outcomes of several seeds by task; None if there is no task of which every seed has an outcome."""
    by_seed = [_by_task(outcomes, tasks) for outcomes in several]
    shared = sorted(set(by_seed[0]).intersection(*by_seed[1:])) if by_seed else []
    if not shared:
        return None
    groups, effects, n = [], [], 0
    for task in shared:
        found: dict[int, list[float]] = {}
        for own in by_seed:
            for question, value in own[task].items():
                found.setdefault(question, []).append(value)
        groups.append(tuple(average(found[question]) for question in sorted(found)))
        weights = [len(values) for values in found.values()]
        effects.append(len(weights) * sum(one * one for one in weights) / sum(weights) ** 2)
        n += len(found)
    means = tuple(average([average(list(own[task].values())) for task in shared]) for own in by_seed)
    return Sample(tuple(groups), means, n, average(effects))


def mean_of(several: Sequence[Outcomes], tasks: Tasks, interval_of: IntervalOf | None, least: float = 0.0) -> Mean:
    """Return the mean over seeds and tasks, with an interval if `interval_of` is given.

    Args:
        several: outcomes of each seed.
        tasks: task of each question.
        interval_of: interval of a mean over tasks.
        least: smallest possible value; the largest is 1.
    """
    found = sample(several, tasks)
    if found is None:
        return Mean(None, None, None, 0)
    by_seed = found.means if len(found.means) > 1 else ()
    if interval_of is None:
        return Mean(found.value, None, None, found.n, by_seed)
    interval = over_seeds(found.over_questions(interval_of), found.means)
    return Mean(found.value, max(interval.low, least), min(interval.high, 1.0), found.n, by_seed)


def by_task(several: Sequence[Outcomes], tasks: Tasks, interval_of: IntervalOf, least: float = 0.0) -> dict[str, Mean]:
    """Return the mean of each task that every seed has an outcome of."""
    return {
        task: mean
        for task in sorted({tasks[question] for outcomes in several for question in outcomes})
        if (mean := mean_of([_of_task(one, tasks, task) for one in several], tasks, interval_of, least)).n
    }


def average(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def _of_task(outcomes: Outcomes, tasks: Tasks, task: str) -> dict[int, float]:
    return {question: value for question, value in outcomes.items() if tasks[question] == task}


def _by_task(outcomes: Outcomes, tasks: Tasks) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for question in sorted(outcomes):
        found.setdefault(tasks[question], {})[question] = outcomes[question]
    return found
