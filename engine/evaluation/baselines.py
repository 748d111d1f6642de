"""Baselines for reflection with an equal token budget: majority vote over samples, and retries.

Reflection costs tokens; so do retries and majority votes, which may gain as much. Each baseline is therefore computed
twice: with all its samples, and with only as many as fit into the completion tokens that reflection used on average
per question of the same task.

Verdicts are a budget too. A correction uses one verdict, that the first answer was wrong. Retries that end with the
first right one use a verdict after every try (`retry_budget`); the majority of the same tries uses no more verdicts
than a correction does (`retry_vote_budget`). Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from engine.evaluation.answers import Answer, Feedback, QuestionAnswers, is_verified, majority
from engine.evaluation.metrics import Metric, accuracy, mean


@dataclass(frozen=True)
class Budget:
    """Average completion tokens of reflection in one task, per question."""

    vote: float
    """Tokens of attempt, reflections and corrections, over all questions."""
    retry: float
    """Tokens of reflections and corrections, over the questions that have a reflection."""


def budgets(answers: Iterable[QuestionAnswers]) -> dict[str, Budget]:
    """Compute the budget of each task. Without any reflection in a task its retry budget is 0, which allows one try."""
    by_task: dict[str, list[QuestionAnswers]] = {}
    for row in answers:
        by_task.setdefault(row.task, []).append(row)
    found = {}
    for task, rows in by_task.items():
        reflected = [row.reflection_tokens + row.correction_tokens for row in rows if row.reflection_tokens]
        all_of_it = [row.turns[0].tokens + row.reflection_tokens + row.correction_tokens for row in rows]
        found[task] = Budget(_average(all_of_it), _average(reflected))
    return found


def within(answers: Sequence[Answer], tokens: float) -> Sequence[Answer]:
    """Return the leading answers that together fit into a number of completion tokens; at least one."""
    spent = 0
    for position, answer in enumerate(answers):
        spent += answer.tokens
        if position and spent > tokens:
            return answers[:position]
    return answers


def until_right(tries: Sequence[Answer]) -> Sequence[Answer]:
    """Return the tries up to the first right one, where an oracle stops."""
    for position, answer in enumerate(tries, start=1):
        if answer.verdict == "correct":
            return tries[:position]
    return tries


def baselines(
    answers: Iterable[QuestionAnswers], budget: Mapping[str, Budget], *, protocol: Feedback, seed: int
) -> dict[str, Metric]:
    """Compute the measured baselines, and the completion tokens per question of each part, by name.

    Token means are over all questions; a question without a reflection, or without a retry, counts as 0 there. So
    `tokens_attempt` + `tokens_reflection` + `tokens_correction` is the cost of a question with reflection.

    Args:
        answers: the answers of one policy.
        budget: the budget of each task, see `budgets`.
        protocol: the feedback they were generated under; retries count only with an oracle.
        seed: of the bootstrap intervals.
    """
    rows = list(answers)
    spent: dict[str, Callable[[QuestionAnswers], int]] = {
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
        found[f"tokens_{name}"] = mean([tokens(row) for row in rows])
    return found


def baseline_outcomes(
    answers: Iterable[QuestionAnswers], budget: Mapping[str, Budget], protocol: Feedback
) -> dict[tuple[int, str], bool]:
    """Return whether a baseline answers a question right, by question id and baseline; unknown outcomes are left out.

    The baselines are `vote` and `vote_budget`; with an oracle also `retry` (one try) and, if there are several tries,
    `retry_budget` and `retry_vote_budget`, in all of which a right first answer is final. Baselines that were not
    measured are left out.
    """
    rows = list(answers)
    tells: dict[str, Callable[[QuestionAnswers], bool | None]] = {}
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


def _right_with_first_retry(row: QuestionAnswers) -> bool | None:
    first = row.turns[0].verdict
    if first == "correct":
        return True
    if first != "incorrect" or not row.retries or not is_verified(row.retries[0].verdict):
        return None
    return row.retries[0].verdict == "correct"


def _counted_votes(row: QuestionAnswers, budget: Budget) -> Sequence[Answer]:
    return within(row.votes, budget.vote)


def _counted_retries(row: QuestionAnswers, budget: Budget) -> Sequence[Answer]:
    return within(row.retries, budget.retry)


def _right_with_retries(row: QuestionAnswers, budget: Budget) -> bool | None:
    if row.turns[0].verdict == "correct":
        return True
    tries = until_right(_counted_retries(row, budget))
    if row.turns[0].verdict != "incorrect" or not tries:
        return None
    if tries[-1].verdict == "correct":
        return True
    return False if all(is_verified(one.verdict) for one in tries) else None


def _right_with_voted_retries(row: QuestionAnswers, budget: Budget) -> bool | None:
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
