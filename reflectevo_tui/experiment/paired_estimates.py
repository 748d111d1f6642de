"""Means over tasks and paired differences of policies' answers, each with a 95 % interval. Pure.

In a mean over tasks every task has the same weight; the bootstrap resamples questions within each task. An outcome is
1 for a correct answer and 0 for a wrong one; over several seeds it is the share of seeds with a correct answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store.evaluation.held_out_answers import HeldOutAnswer
from store.evaluation.intervals import bootstrap_mean_over_groups, mcnemar_exact, wilson

Outcomes = Mapping[int, float]
"""Question id → outcome, 0 to 1."""

Tasks = Mapping[int, str]
"""Question id → task."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval; None where nothing was counted. `p` is of McNemar's test on paired binary outcomes."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    p: float | None = None

    @property
    def above_zero(self) -> bool:
        """Whether the entire interval is above 0."""
        return self.low is not None and self.low > 0

    def as_metric(self) -> dict[str, float | None]:
        """Return the estimate in the form of a stored metric, for the report writers."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": float(self.n)}


@dataclass(frozen=True, slots=True)
class Paired:
    """Paired comparison of two policies or baselines on the same questions."""

    overall: Estimate
    """The mean over tasks."""
    by_task: Mapping[str, Estimate]

    @property
    def tasks_above(self) -> tuple[str, ...]:
        """Tasks whose entire interval is above 0."""
        return tuple(task for task, estimate in self.by_task.items() if estimate.above_zero)


def mean_over_tasks(outcomes: Outcomes, tasks: Tasks, seed: int = 0) -> Estimate:
    """Return the mean over tasks of outcomes, with a bootstrap interval."""
    groups = _by_task(outcomes, tasks)
    if not groups:
        return Estimate(None, None, None, 0)
    values = [groups[task] for task in sorted(groups)]
    interval = bootstrap_mean_over_groups(values, seed)
    value = sum(sum(group) / len(group) for group in values) / len(values)
    return Estimate(value, interval.low, interval.high, len(outcomes))


def share(outcomes: Outcomes) -> Estimate:
    """Return the share of correct answers of one task, with the Wilson interval used everywhere."""
    if not outcomes:
        return Estimate(None, None, None, 0)
    right = round(sum(float(value) for value in outcomes.values()))
    interval = wilson(right, len(outcomes))
    return Estimate(right / len(outcomes), interval.low, interval.high, len(outcomes))


def paired(before: Outcomes, after: Outcomes, tasks: Tasks, seed: int = 0) -> Paired:
    """Return the difference `after` − `before` on the questions that have an outcome in both."""
    both = sorted(before.keys() & after.keys())
    by_task = {
        task: _difference([question for question in both if tasks[question] == task], before, after, tasks, seed)
        for task in sorted({tasks[question] for question in both})
    }
    return Paired(_difference(both, before, after, tasks, seed), by_task)


def _difference(questions: Sequence[int], before: Outcomes, after: Outcomes, tasks: Tasks, seed: int) -> Estimate:
    changes = {question: float(after[question]) - float(before[question]) for question in questions}
    mean = mean_over_tasks(changes, tasks, seed)
    if not questions or any(change not in (-1.0, 0.0, 1.0) for change in changes.values()):
        return mean
    if any(value[question] not in (0, 1) for value in (before, after) for question in questions):
        return mean
    gained, lost = (sum(change == sign for change in changes.values()) for sign in (1.0, -1.0))
    return Estimate(mean.value, mean.low, mean.high, mean.n, mcnemar_exact(gained, lost))


def mean_of_seeds(several: Sequence[Outcomes]) -> dict[int, float]:
    """Return the share of seeds with a correct answer, for each question with an outcome in all seeds."""
    if not several:
        return {}
    shared = set(several[0]).intersection(*several[1:])
    return {question: sum(float(one[question]) for one in several) / len(several) for question in sorted(shared)}


@dataclass(frozen=True, slots=True)
class FormatSplit:
    """A difference in percentage points over `n` questions, split into the effect of answer format and the rest."""

    n: int
    became_readable: int
    """Questions wrong before because no answer could be parsed, now right."""
    became_unreadable: int
    """Questions right before, now wrong because no answer can be parsed."""
    became_right: int
    """Questions with a parsed wrong answer before, now right."""
    became_wrong: int
    """Questions right before, now with a parsed wrong answer."""

    @property
    def by_format(self) -> float:
        """The part of the difference due to answers becoming parseable."""
        return (self.became_readable - self.became_unreadable) / self.n if self.n else 0.0

    @property
    def by_the_rest(self) -> float:
        """The part of the difference due to parsed answers becoming right."""
        return (self.became_right - self.became_wrong) / self.n if self.n else 0.0


def format_split(
    before: Sequence[HeldOutAnswer], after: Sequence[HeldOutAnswer], *, turn: int, oracle: bool
) -> FormatSplit:
    """Split the difference of two policies at a turn, over the questions verified for both."""
    earlier = {one.question_id: one for one in before}
    counts = {"n": 0, "became_readable": 0, "became_unreadable": 0, "became_right": 0, "became_wrong": 0}
    for now in after:
        was = earlier.get(now.question_id)
        old = None if was is None else was.right(turn, oracle=oracle)
        new = now.right(turn, oracle=oracle)
        if was is None or old is None or new is None:
            continue
        counts["n"] += 1
        if new and not old:
            counts["became_right" if was.read(turn, oracle=oracle) else "became_readable"] += 1
        elif old and not new:
            counts["became_wrong" if now.read(turn, oracle=oracle) else "became_unreadable"] += 1
    return FormatSplit(**counts)


def read_share(answers: Sequence[HeldOutAnswer], *, turn: int, oracle: bool) -> tuple[int, int, int]:
    """Return the number of questions verified at a turn, of those with a parsed answer, and of correct ones."""
    verified = [one for one in answers if one.right(turn, oracle=oracle) is not None]
    read = sum(bool(one.read(turn, oracle=oracle)) for one in verified)
    return len(verified), read, sum(bool(one.right(turn, oracle=oracle)) for one in verified)


def _by_task(outcomes: Outcomes, tasks: Tasks) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for question in sorted(outcomes):
        groups.setdefault(tasks[question], []).append(float(outcomes[question]))
    return groups
