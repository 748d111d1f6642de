"""The baselines of reflection at an equal number of tokens: majority vote over samples, and retries.

Reflection costs tokens; answering again, or several times and voting, costs tokens too, and may gain as much. So
each baseline is counted twice: with all its samples, and with only as many as fit the completion tokens that
reflection took on average per question of the same task.

Verdicts are a budget too. A correction hears one verdict before it, that the first answer was wrong. Retries that end
with the first right one hear a verdict after every try (`retry_budget`); the majority of the same tries hears no more
than a correction does (`retry_vote_budget`). Values in, values out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.evaluation.answers import Answer, Answered, Feedback, judged, majority
from engine.evaluation.metrics import Metric, accuracy, mean


@dataclass(frozen=True)
class Budget:
    """Completion tokens that reflection took on average in one task."""

    vote: float
    """Attempt, reflections and corrections of a question."""
    retry: float
    """Reflections and corrections of a question that was reflected on."""


def budgets(answers: Iterable[Answered]) -> dict[str, Budget]:
    """The budget of every task. A task in which nothing was reflected on leaves the retries no tokens, so one try."""
    by_task: dict[str, list[Answered]] = {}
    for row in answers:
        by_task.setdefault(row.task, []).append(row)
    found = {}
    for task, rows in by_task.items():
        reflected = [row.reflection_tokens + row.correction_tokens for row in rows if row.reflection_tokens]
        all_of_it = [row.turns[0].tokens + row.reflection_tokens + row.correction_tokens for row in rows]
        found[task] = Budget(_average(all_of_it), _average(reflected))
    return found


def within(answers: Sequence[Answer], tokens: float) -> Sequence[Answer]:
    """The first answers that together fit a number of tokens; at least one."""
    spent = 0
    for position, answer in enumerate(answers):
        spent += answer.tokens
        if position and spent > tokens:
            return answers[:position]
    return answers


def until_right(tries: Sequence[Answer]) -> Sequence[Answer]:
    """The tries up to the first that is right: an oracle stops there."""
    for position, answer in enumerate(tries, start=1):
        if answer.verdict == "correct":
            return tries[:position]
    return tries


def baselines(
    answers: Iterable[Answered], budget: Mapping[str, Budget], *, protocol: Feedback, seed: int
) -> dict[str, Metric]:
    """The baselines that were measured, and the completion tokens per question of everything, by name.

    Token means run over all questions; one that was not reflected on, or not retried, took 0 there. So
    `tokens_attempt` + `tokens_reflection` + `tokens_correction` is what a question cost with reflection.
    """
    rows = list(answers)
    spent: dict[str, Callable[[Answered], int]] = {
        "attempt": lambda row: row.turns[0].tokens,
        "reflection": lambda row: row.reflection_tokens,
        "correction": lambda row: row.correction_tokens,
    }
    found: dict[str, Metric] = {}
    if any(len(row.retries) > 1 for row in rows) and protocol == "oracle":
        found["acc_retry_budget"] = accuracy(_known(_right_with_retries(row, budget[row.task]) for row in rows))
        spent["retry_budget"] = lambda row: _tokens(until_right(_counted_retries(row, budget[row.task])))
        found["acc_retry_vote_budget"] = accuracy(
            _known(_right_with_voted_retries(row, budget[row.task]) for row in rows)
        )
        spent["retry_vote_budget"] = lambda row: _tokens(_counted_retries(row, budget[row.task]))
    if any(row.retries for row in rows):
        spent["retry"] = lambda row: _tokens(row.retries)
    if any(row.votes for row in rows):
        found["acc_vote"] = accuracy(_known(majority(row.votes) for row in rows))
        found["acc_vote_budget"] = accuracy(_known(majority(_counted_votes(row, budget[row.task])) for row in rows))
        spent["vote"] = lambda row: _tokens(row.votes)
        spent["vote_budget"] = lambda row: _tokens(_counted_votes(row, budget[row.task]))
    for name, tokens in spent.items():
        found[f"tokens_{name}"] = mean([tokens(row) for row in rows], seed)
    return found


def baseline_outcomes(
    answers: Iterable[Answered], budget: Mapping[str, Budget], protocol: Feedback
) -> dict[tuple[int, str], bool]:
    """Whether a baseline answers a question right, by question and baseline; what can't be known is left out.

    `vote` and `vote_budget`; with an oracle also `retry` (one try) and, of several tries, `retry_budget` and
    `retry_vote_budget`, in all of which a right first answer stays. Baselines that were not measured are left out
    altogether.
    """
    rows = list(answers)
    tells: dict[str, Callable[[Answered], bool | None]] = {}
    if any(row.votes for row in rows):
        tells["vote"] = lambda row: majority(row.votes)
        tells["vote_budget"] = lambda row: majority(_counted_votes(row, budget[row.task]))
    if any(row.retries for row in rows) and protocol == "oracle":
        tells["retry"] = _right_with_first_retry
        if any(len(row.retries) > 1 for row in rows):
            tells["retry_budget"] = lambda row: _right_with_retries(row, budget[row.task])
            tells["retry_vote_budget"] = lambda row: _right_with_voted_retries(row, budget[row.task])
    return {
        (row.question_id, name): right
        for row in rows
        for name, told in tells.items()
        if (right := told(row)) is not None
    }


def _right_with_first_retry(row: Answered) -> bool | None:
    first = row.turns[0].verdict
    if first == "correct":
        return True
    if first != "incorrect" or not row.retries or not judged(row.retries[0].verdict):
        return None
    return row.retries[0].verdict == "correct"


def _counted_votes(row: Answered, budget: Budget) -> Sequence[Answer]:
    return within(row.votes, budget.vote)


def _counted_retries(row: Answered, budget: Budget) -> Sequence[Answer]:
    return within(row.retries, budget.retry)


def _right_with_retries(row: Answered, budget: Budget) -> bool | None:
    if row.turns[0].verdict == "correct":
        return True
    tries = until_right(_counted_retries(row, budget))
    if row.turns[0].verdict != "incorrect" or not tries:
        return None
    if tries[-1].verdict == "correct":
        return True
    return False if all(judged(one.verdict) for one in tries) else None


def _right_with_voted_retries(row: Answered, budget: Budget) -> bool | None:
    first = row.turns[0].verdict
    if first == "correct":
        return True
    return majority(_counted_retries(row, budget)) if first == "incorrect" else None


def _known(outcomes: Iterable[bool | None]) -> list[bool]:
    return [outcome for outcome in outcomes if outcome is not None]


def _tokens(answers: Iterable[Answer]) -> int:
    return sum(answer.tokens for answer in answers)


def _average(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0
