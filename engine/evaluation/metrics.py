"""Evaluation metrics of a policy, each with a 95 % interval and the number of questions n.

Standard library only; takes answers and returns numbers. `unverified` counts as neither right nor wrong and
is left out of n. A metric over no questions is None, never 0. Source of the metrics: ReflectEvo (ACL 2025 Findings,
arXiv 2505.16475), section 4.1; intervals, c→i and the baselines are additions of this project. Knows no prompts,
models or databases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.evaluation.answer_outcomes import Feedback, QuestionAnswers, is_verified, majority, right_at
from store.evaluation.intervals import paired_changes, student_mean, wilson, wilson_share


@dataclass(frozen=True)
class Metric:
    """A share, a difference of shares (1 is 100 %) or a mean; all three are None when n is 0.

    A mean of tokens over one question has no interval.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Number of questions."""


NOTHING = Metric(None, None, None, 0)
"""A metric over no questions."""


@dataclass(frozen=True)
class EvaluationMetrics:
    """The metrics of one policy on one set of questions."""

    acc_t1: Metric
    """Share of right answers at turn 1."""
    acc_t2: Metric
    """Share of right answers after reflection."""
    delta: Metric
    """Acc@t2 − Acc@t1 over the questions that have both; paired score interval."""
    i_to_c: Metric
    """Share of wrong answers that reflection made right."""
    c_to_i: Metric
    """Share of right answers that reflection made wrong; n is 0 under the oracle protocol, which keeps them."""
    acc_retry: Metric
    """Like acc_t2, with the first retry instead of the correction."""
    retry_i_to_c: Metric
    """Share of wrong answers that a retry without reflection made right."""
    unreadable_t1: Metric
    """Share of the verified replies of turn 1 that contain no answer in a readable form; they count as wrong. A gain in
    accuracy that goes with a smaller share is at least partly one of format."""
    unreadable_t2: Metric
    """Share of the verified replies after reflection that contain no answer in a readable form."""
    later: Mapping[str, Metric] = field(default_factory=dict)
    """With several rounds: `acc_t3`, … and `acc_vote_rounds`, the majority over the turns, the latest in a tie."""

    def by_name(self) -> dict[str, Metric]:
        """Return all metrics by name."""
        fixed = {name: metric for name, metric in vars(self).items() if name != "later"}
        return {**fixed, **self.later}


def accuracy(outcomes: Sequence[bool]) -> Metric:
    """Return the share of true outcomes with a Wilson interval."""
    if not outcomes:
        return NOTHING
    interval = wilson(sum(outcomes), len(outcomes))
    return Metric(sum(outcomes) / len(outcomes), interval.low, interval.high, len(outcomes))


def mean(values: Sequence[float]) -> Metric:
    """Return the mean of unbounded values with Student's interval, which a single value doesn't have."""
    if not values:
        return NOTHING
    interval = student_mean(values)
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return Metric(sum(values) / len(values), low, high, len(values))


def mean_score(values: Sequence[float]) -> Metric:
    """Return the mean of scores between 0 and 1 with the Wilson interval of a share of the same size."""
    if not values:
        return NOTHING
    value = min(sum(values) / len(values), 1.0)
    interval = wilson_share(value, len(values))
    return Metric(value, interval.low, interval.high, len(values))


def change(values: Sequence[int]) -> Metric:
    """Return the mean change of outcomes of the same questions (−1, 0 or 1 each) with a paired score interval."""
    if not values:
        return NOTHING
    interval = paired_changes(values)
    return Metric(sum(values) / len(values), interval.low, interval.high, len(values))


def evaluate(
    answers: Iterable[QuestionAnswers], *, protocol: Feedback = "oracle", rounds: int = 1
) -> EvaluationMetrics:
    """Compute the metrics over the given answers; see `EvaluationMetrics`. Never fails for lack of answers.

    Under `oracle` a right turn 1 counts as right at turn 2 and in the retry. A wrong answer whose turn 2 is
    missing or unverified is left out of acc_t2, delta and i_to_c.

    Args:
        answers: the answers of one policy.
        protocol: the feedback they were generated under.
        rounds: rounds of reflection; with more than one, `later` has metrics.
    """
    rows = list(answers)
    first = [(row, right) for row in rows if (right := right_at(row, 1, protocol)) is not None]
    pairs = [(before, after) for row, before in first if (after := right_at(row, 2, protocol)) is not None]
    second = [(before, row.turns[1].verdict) for row, before in first if len(row.turns) > 1]
    # Without any retries, the right first answers alone would be a baseline that never fails.
    asked_again = first if any(row.retries for row in rows) else []
    retried = [after for row, _ in asked_again if (after := _right_after_retry(row, protocol)) is not None]
    retries = [row.retries[0].verdict for row, before in first if row.retries and not before]
    return EvaluationMetrics(
        acc_t1=accuracy([before for _, before in first]),
        acc_t2=accuracy([after for _, after in pairs]),
        delta=change([int(after) - int(before) for before, after in pairs]),
        i_to_c=accuracy([verdict == "correct" for before, verdict in second if not before and is_verified(verdict)]),
        c_to_i=accuracy([verdict == "incorrect" for before, verdict in second if before and is_verified(verdict)]),
        acc_retry=accuracy(retried),
        retry_i_to_c=accuracy([verdict == "correct" for verdict in retries if is_verified(verdict)]),
        unreadable_t1=accuracy([row.turns[0].group is None for row, _ in first]),
        unreadable_t2=accuracy(
            [row.turns[1].group is None for row, _ in first if len(row.turns) > 1 and is_verified(row.turns[1].verdict)]
        ),
        later=_later(rows, protocol, rounds),
    )


def _later(rows: Sequence[QuestionAnswers], protocol: Feedback, rounds: int) -> dict[str, Metric]:
    if rounds == 1:
        return {}
    found = {}
    for turn in range(3, rounds + 2):
        found[f"acc_t{turn}"] = accuracy(
            [right for row in rows if (right := right_at(row, turn, protocol)) is not None]
        )
    voted = [right for row in rows if (right := majority(row.turns, ties_to_latest=True)) is not None]
    return {**found, "acc_vote_rounds": accuracy(voted)}


def _right_after_retry(row: QuestionAnswers, protocol: Feedback) -> bool | None:
    """Like `right_at` for turn 2, with the first retry as turn 2; None without an oracle, where only wrong answers are
    retried and the accuracy over all answers isn't known."""
    if protocol == "oracle-free":
        return None
    if row.turns[0].verdict == "correct":
        return True
    if row.turns[0].verdict == "incorrect" and row.retries and is_verified(row.retries[0].verdict):
        return row.retries[0].verdict == "correct"
    return None
