"""What evaluation answers say about a policy, each number with a 95 % interval and the n it rests on.

Standard library only; takes answers and returns numbers. `unverified` counts as neither right nor wrong and
is left out of n. Nothing to count gives None, never 0. Source of the metrics: ReflectEvo (ACL 2025 Findings,
arXiv 2505.16475), section 4.1; intervals, c→i and the baselines are ours. Knows nothing of prompts,
models or databases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.evaluation.answers import Answered, Feedback, judged, majority, right_at
from store.evaluation.intervals import bootstrap_mean, bootstrap_mean_over_groups, mcnemar_exact, wilson


@dataclass(frozen=True)
class Metric:
    """A share, a difference of shares (1 is 100 %) or a mean. All three are None when n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Questions the value rests on."""


NOTHING = Metric(None, None, None, 0)
"""Nothing was counted."""


@dataclass(frozen=True)
class EvaluationMetrics:
    """The metrics of one policy on one set of questions."""

    acc_t1: Metric
    """Share of right answers at turn 1."""
    acc_t2: Metric
    """Share of right answers after reflection."""
    delta: Metric
    """Acc@t2 − Acc@t1 over the questions that have both; bootstrap interval."""
    i_to_c: Metric
    """Share of wrong answers that reflection made right."""
    c_to_i: Metric
    """Share of right answers that reflection made wrong; n is 0 under the oracle protocol, which never tries."""
    acc_retry: Metric
    """As acc_t2, with the first retry in place of the correction."""
    retry_i_to_c: Metric
    """Share of wrong answers that a retry without reflection made right."""
    later: Mapping[str, Metric] = field(default_factory=dict)
    """With several rounds: `acc_t3`, … and `acc_vote_rounds`, the majority over the turns, ties to the latest."""

    def by_name(self) -> dict[str, Metric]:
        """Every metric by its name."""
        fixed = {name: metric for name, metric in vars(self).items() if name != "later"}
        return {**fixed, **self.later}


@dataclass(frozen=True)
class Difference:
    """Child against parent on the same questions."""

    value: float | None
    """Child − parent; None when they share no judged question."""
    low: float | None
    high: float | None
    n: int
    p: float | None
    """McNemar's exact p of the flips; None for a mean over tasks, which weighs them differently."""
    gained: tuple[int, ...]
    """Questions that only the child answers right."""
    lost: tuple[int, ...]
    """Questions that only the parent answers right."""


@dataclass(frozen=True)
class Comparison:
    """The paired comparison of a child with its parent."""

    acc_t1: Difference
    acc_t2: Difference


def accuracy(outcomes: Sequence[bool]) -> Metric:
    """The share of true outcomes with Wilson's interval."""
    if not outcomes:
        return NOTHING
    interval = wilson(sum(outcomes), len(outcomes))
    return Metric(sum(outcomes) / len(outcomes), interval.low, interval.high, len(outcomes))


def mean(values: Sequence[float], seed: int) -> Metric:
    """The mean with a bootstrap interval over questions."""
    if not values:
        return NOTHING
    interval = bootstrap_mean(values, seed)
    return Metric(sum(values) / len(values), interval.low, interval.high, len(values))


def evaluate(
    answers: Iterable[Answered], *, protocol: Feedback = "oracle", rounds: int = 1, seed: int = 0
) -> EvaluationMetrics:
    """The metrics over all the answers given; see `EvaluationMetrics`. Never fails for lack of answers.

    Under `oracle` a right turn 1 counts as right at turn 2 and in the retry. A wrong answer whose turn 2 is
    missing or unverified is left out of acc_t2, delta and i_to_c.
    """
    rows = list(answers)
    first = [(row, right) for row in rows if (right := right_at(row, 1, protocol)) is not None]
    pairs = [(before, after) for row, before in first if (after := right_at(row, 2, protocol)) is not None]
    second = [(before, row.turns[1].verdict) for row, before in first if len(row.turns) > 1]
    # Where nobody tried again, the right first answers alone would be a baseline that never fails.
    asked_again = first if any(row.retries for row in rows) else []
    retried = [after for row, _ in asked_again if (after := _right_after_retry(row, protocol)) is not None]
    retries = [row.retries[0].verdict for row, before in first if row.retries and not before]
    return EvaluationMetrics(
        acc_t1=accuracy([before for _, before in first]),
        acc_t2=accuracy([after for _, after in pairs]),
        delta=mean([int(after) - int(before) for before, after in pairs], seed),
        i_to_c=accuracy([verdict == "correct" for before, verdict in second if not before and judged(verdict)]),
        c_to_i=accuracy([verdict == "incorrect" for before, verdict in second if before and judged(verdict)]),
        acc_retry=accuracy(retried),
        retry_i_to_c=accuracy([verdict == "correct" for verdict in retries if judged(verdict)]),
        later=_later(rows, protocol, rounds),
    )


def _later(rows: Sequence[Answered], protocol: Feedback, rounds: int) -> dict[str, Metric]:
    if rounds == 1:
        return {}
    found = {}
    for turn in range(3, rounds + 2):
        found[f"acc_t{turn}"] = accuracy(
            [right for row in rows if (right := right_at(row, turn, protocol)) is not None]
        )
    voted = [right for row in rows if (right := majority(row.turns, ties_to_latest=True)) is not None]
    return {**found, "acc_vote_rounds": accuracy(voted)}


def compare(
    parent: Iterable[Answered], child: Iterable[Answered], *, protocol: Feedback = "oracle", seed: int = 0
) -> Comparison:
    """Child against parent on the questions that both answered with a verdict."""
    both = _both(parent, child)
    return Comparison(
        acc_t1=_difference(_known(both, lambda row: right_at(row, 1, protocol)), seed),
        acc_t2=_difference(_known(both, lambda row: right_at(row, 2, protocol)), seed),
    )


def mean_over_tasks(
    parent: Iterable[Answered],
    child: Iterable[Answered],
    *,
    turn: int = 2,
    protocol: Feedback = "oracle",
    seed: int = 0,
) -> Difference:
    """Child against parent in the mean over tasks, in which every task weighs the same whatever its size.

    The value is the mean of the tasks' paired differences at `turn`; its interval is a paired bootstrap that draws
    questions within each task. A task without a question that both answered with a verdict is left out.
    """
    known = _known(_both(parent, child), lambda row: right_at(row, turn, protocol))
    by_task: dict[str, list[int]] = {}
    for row, was, now in known:
        by_task.setdefault(row.task, []).append(int(now) - int(was))
    gained, lost = _flips(known)
    if not by_task:
        return Difference(None, None, None, 0, None, gained, lost)
    groups = [by_task[task] for task in sorted(by_task)]
    interval = bootstrap_mean_over_groups(groups, seed)
    value = sum(sum(group) / len(group) for group in groups) / len(groups)
    return Difference(value, interval.low, interval.high, len(known), None, gained, lost)


_Known = Sequence[tuple[Answered, bool, bool]]
"""A question's answers, whether the parent was right, whether the child is."""


def _both(parent: Iterable[Answered], child: Iterable[Answered]) -> list[tuple[Answered, Answered]]:
    before = {row.question_id: row for row in parent}
    after = {row.question_id: row for row in child}
    return [(before[question], after[question]) for question in sorted(before.keys() & after.keys())]


def _known(both: Sequence[tuple[Answered, Answered]], right: Callable[[Answered], bool | None]) -> _Known:
    return [(old, was, now) for old, new in both if (was := right(old)) is not None and (now := right(new)) is not None]


def _flips(known: _Known) -> tuple[tuple[int, ...], tuple[int, ...]]:
    gained = tuple(row.question_id for row, was, now in known if now and not was)
    lost = tuple(row.question_id for row, was, now in known if was and not now)
    return gained, lost


def _difference(known: _Known, seed: int) -> Difference:
    metric = mean([int(now) - int(was) for _, was, now in known], seed)
    gained, lost = _flips(known)
    p = mcnemar_exact(len(gained), len(lost)) if known else None
    return Difference(metric.value, metric.low, metric.high, metric.n, p, gained, lost)


def _right_after_retry(row: Answered, protocol: Feedback) -> bool | None:
    """As `right_at` turn 2, with the first retry as turn 2. Without an oracle only wrong answers are retried, so
    that nothing can be said of all answers."""
    if protocol == "oracle-free":
        return None
    if row.turns[0].verdict == "correct":
        return True
    if row.turns[0].verdict == "incorrect" and row.retries and judged(row.retries[0].verdict):
        return row.retries[0].verdict == "correct"
    return None
