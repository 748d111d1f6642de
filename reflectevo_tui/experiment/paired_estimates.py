"""Means over tasks and paired differences of policies' answers, each with a 95 % interval. Pure.

In a mean over tasks every task has the same weight. Shares have Wilson's interval and differences the paired score
interval, combined over tasks. Several seeds are a level of their own, crossed with the questions: the interval of their
mean covers another seed, too (`store.evaluation.intervals.over_seeds`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from store.evaluation.held_out_answers import HeldOutAnswer
from store.evaluation.intervals import mcnemar_exact, mean_change_over_tasks, mean_share_over_tasks, over_seeds
from store.evaluation.power import effective_pairs, smallest_difference, smallest_over_seeds

Outcomes = Mapping[int, float]
"""Question id → outcome, 1 for a correct answer and 0 for a wrong one."""

Tasks = Mapping[int, str]
"""Question id → task."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its interval; None where nothing was counted. `p` is of McNemar's test on paired binary outcomes."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Number of questions."""
    p: float | None = None
    seeds: tuple[float, ...] = ()
    """The mean of each seed, if there are several."""
    smallest: float | None = None
    """The smallest difference that the questions show (`store.evaluation.power`); of paired differences only."""

    @property
    def above_zero(self) -> bool:
        """Whether the entire interval is above 0."""
        return self.low is not None and self.low > 0

    @property
    def includes_zero(self) -> bool:
        """Whether no difference is shown: the interval includes 0."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high

    def as_metric(self) -> dict[str, float | None]:
        """Return the estimate in the form of a stored metric, for the report writers."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": float(self.n)}


NOTHING = Estimate(None, None, None, 0)
"""An estimate over no questions."""


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


def mean_over_tasks(outcomes: Outcomes, tasks: Tasks) -> Estimate:
    """Return the mean over tasks of the shares of correct answers."""
    return mean_over_seeds([outcomes], tasks)


def mean_over_seeds(several: Sequence[Outcomes], tasks: Tasks) -> Estimate:
    """Return the mean over seeds and tasks of the shares of correct answers, on the questions all seeds answered."""
    return _estimate(several, tasks, signed=False)


def mean_change(changes: Outcomes, tasks: Tasks) -> Estimate:
    """Return the mean over tasks of paired changes between −1 and 1."""
    return _estimate([changes], tasks, signed=True)


def paired(before: Outcomes, after: Outcomes, tasks: Tasks) -> Paired:
    """Return the difference `after` − `before` on the questions that have an outcome in both."""
    return paired_over_seeds([before], [after], tasks)


def paired_over_seeds(before: Sequence[Outcomes], after: Sequence[Outcomes], tasks: Tasks) -> Paired:
    """Return the mean over seeds of the difference `after` − `before`, on the questions with an outcome in all of them.

    Args:
        before: outcomes by seed, or those of a single policy with which every seed is compared.
        after: outcomes by seed.
        tasks: task of each question.

    Raises:
        ValueError: if there are several of `before`, but not as many as of `after`.
    """
    earlier = list(before) * len(after) if len(before) == 1 else list(before)
    pairs = list(zip(earlier, after, strict=True))
    both = set(pairs[0][0]) if pairs else set()
    for old, new in pairs:
        both &= old.keys() & new.keys()

    def difference(questions: set[int]) -> Estimate:
        changes = [{one: float(new[one]) - float(old[one]) for one in questions} for old, new in pairs]
        found = _estimate(changes, tasks, signed=True)
        p = None
        if len(pairs) == 1 and questions and all(old[one] in (0, 1) and new[one] in (0, 1) for one in questions):
            gained, lost = (sum(change == sign for change in changes[0].values()) for sign in (1.0, -1.0))
            p = mcnemar_exact(gained, lost)
        smallest = smallest_difference(*effective_pairs(list(_by_task(_mean_of_seeds(changes), tasks).values())))
        return replace(found, p=p, smallest=smallest_over_seeds(smallest, found.seeds))

    by_task = {
        task: difference({one for one in both if tasks[one] == task}) for task in sorted({tasks[one] for one in both})
    }
    return Paired(difference(both), by_task)


def _estimate(several: Sequence[Outcomes], tasks: Tasks, *, signed: bool) -> Estimate:
    over_seeds_mean = _mean_of_seeds(several)
    groups = list(_by_task(over_seeds_mean, tasks).values())
    if not groups:
        return NOTHING
    means = tuple(
        _mean([_mean(group) for group in _by_task({one: outcomes[one] for one in over_seeds_mean}, tasks).values()])
        for outcomes in several
    )
    questions = mean_change_over_tasks(groups) if signed else mean_share_over_tasks(groups)
    interval, least = over_seeds(questions, means), -1.0 if signed else 0.0
    low, high = max(interval.low, least), min(interval.high, 1.0)
    return Estimate(_mean(means), low, high, len(over_seeds_mean), seeds=means if len(means) > 1 else ())


def _mean_of_seeds(several: Sequence[Outcomes]) -> dict[int, float]:
    """The mean over seeds for each question with an outcome in all seeds."""
    if not several:
        return {}
    shared = set(several[0]).intersection(*several[1:])
    return {question: _mean([float(one[question]) for one in several]) for question in sorted(shared)}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


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
