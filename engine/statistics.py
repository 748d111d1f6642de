"""What evaluation answers say about a policy, each number with a 95 % interval and the n it rests on.

Standard library only; takes verdicts and returns numbers. `unverified` counts as neither right nor wrong and
is left out of n. Nothing to count gives None, never 0. Source of the metrics: ReflectEvo (ACL 2025 Findings,
arXiv 2505.16475), section 4.1; intervals, c→i and the retry baseline are ours. Knows nothing of prompts,
models or databases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from engine.tasks.base import Verdict
from store.intervals import bootstrap_difference, mcnemar_exact, wilson

Feedback = Literal["oracle", "oracle-free"]
"""`oracle`: turn 2 is taken for wrong answers only, a right turn 1 stays right. `oracle-free`: for every answer."""


@dataclass(frozen=True)
class Answered:
    """The verdicts of one held-out question under one policy."""

    question_id: int
    task: str
    t1: Verdict
    t2: Verdict | None
    """None when turn 2 was not taken."""
    retry: Verdict | None = None
    """A second try without a reflection; None when it was not taken."""


@dataclass(frozen=True)
class Metric:
    """A share or a difference of shares (1 is 100 %). All three are None when n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Questions the value rests on."""


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
    """As acc_t2, with the retry in place of the correction."""
    retry_i_to_c: Metric
    """Share of wrong answers that a retry without reflection made right."""

    def by_name(self) -> dict[str, Metric]:
        """Every metric by its field's name."""
        return dict(vars(self))


@dataclass(frozen=True)
class Difference:
    """Child against parent on the same questions."""

    value: float | None
    """Child − parent; None when they share no judged question."""
    low: float | None
    high: float | None
    n: int
    p: float | None
    """McNemar's exact p of the flips."""
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
        return Metric(None, None, None, 0)
    interval = wilson(sum(outcomes), len(outcomes))
    return Metric(sum(outcomes) / len(outcomes), interval.low, interval.high, len(outcomes))


def evaluate(answers: Iterable[Answered], *, protocol: Feedback = "oracle", seed: int = 0) -> EvaluationMetrics:
    """The metrics over all the answers given; see `EvaluationMetrics`. Never fails for lack of answers.

    Under `oracle` a right turn 1 counts as right at turn 2 and in the retry. A wrong answer whose turn 2 is
    missing or unverified is left out of acc_t2, delta and i_to_c.
    """
    rows = list(answers)
    first = [(row, row.t1 == "correct") for row in rows if row.t1 != "unverified"]
    reflected = [(before, after) for row, before in first if (after := _after(row, row.t2, protocol)) is not None]
    retried = [after for row, _ in first if (after := _after(row, row.retry, protocol)) is not None]
    if protocol == "oracle-free" and not any(row.retry for row, before in first if before):
        retried = []
    pairs = [(int(before), int(after)) for before, after in reflected]
    return EvaluationMetrics(
        acc_t1=accuracy([before for _, before in first]),
        acc_t2=accuracy([after for _, after in reflected]),
        delta=_paired(pairs, seed),
        i_to_c=accuracy([row.t2 == "correct" for row, before in first if not before and _judged(row.t2)]),
        c_to_i=accuracy([row.t2 == "incorrect" for row, before in first if before and _judged(row.t2)]),
        acc_retry=accuracy(retried),
        retry_i_to_c=accuracy([row.retry == "correct" for row, before in first if not before and _judged(row.retry)]),
    )


def evaluate_by_task(
    answers: Iterable[Answered], *, protocol: Feedback = "oracle", seed: int = 0
) -> dict[str, EvaluationMetrics]:
    """The metrics of every task, by its name, in alphabetical order. Overall metrics are `evaluate`'s."""
    rows = list(answers)
    return {
        task: evaluate([row for row in rows if row.task == task], protocol=protocol, seed=seed)
        for task in sorted({row.task for row in rows})
    }


def compare(
    parent: Iterable[Answered], child: Iterable[Answered], *, protocol: Feedback = "oracle", seed: int = 0
) -> Comparison:
    """Child against parent on the questions that both answered with a verdict."""
    before = {row.question_id: row for row in parent}
    after = {row.question_id: row for row in child}
    both = [(before[question], after[question]) for question in sorted(before.keys() & after.keys())]
    return Comparison(
        acc_t1=_difference(both, _right_t1, seed),
        acc_t2=_difference(both, lambda row: _after(row, row.t2, protocol), seed),
    )


def _judged(verdict: Verdict | None) -> bool:
    return verdict in ("correct", "incorrect")


def _right_t1(row: Answered) -> bool | None:
    return row.t1 == "correct" if _judged(row.t1) else None


def _after(row: Answered, second: Verdict | None, protocol: Feedback) -> bool | None:
    """Whether the answer is right after a second turn; None when that isn't known."""
    if not _judged(row.t1):
        return None
    if protocol == "oracle" and row.t1 == "correct":
        return True
    return second == "correct" if _judged(second) else None


def _paired(pairs: Sequence[tuple[int, int]], seed: int) -> Metric:
    if not pairs:
        return Metric(None, None, None, 0)
    interval = bootstrap_difference(pairs, seed)
    value = sum(second - first for first, second in pairs) / len(pairs)
    return Metric(value, interval.low, interval.high, len(pairs))


def _difference(
    both: Sequence[tuple[Answered, Answered]], right: Callable[[Answered], bool | None], seed: int
) -> Difference:
    known = [
        (old.question_id, was, now)
        for old, new in both
        if (was := right(old)) is not None and (now := right(new)) is not None
    ]
    metric = _paired([(int(was), int(now)) for _, was, now in known], seed)
    gained = tuple(question for question, was, now in known if now and not was)
    lost = tuple(question for question, was, now in known if was and not now)
    p = mcnemar_exact(len(gained), len(lost)) if known else None
    return Difference(metric.value, metric.low, metric.high, metric.n, p, gained, lost)
