"""Baselines for reflection with an equal token budget: majority vote over samples, and retries.

Reflection costs tokens; so do retries and majority votes, which may gain as much. Each baseline is therefore computed
twice: with all its samples, and with only as many as cost what reflection costs on average per question of the same
task. Prompt tokens count as well as completion tokens: every sample reads its prompt, and reflection reads more.

A number of samples is an integer, so that a limit alone would spend less than the budget. Each question therefore has
the floor or the ceiling of the number that its budget allows, drawn by a seed so that the mean over the questions of a
task is the budget. Where the samples of some questions end earlier, the others are allowed more.

Verdicts are a budget too. A correction uses one verdict, that the first answer was wrong. Retries that end with the
first right one use a verdict after every try (`retry_budget`); the majority of the same number of tokens uses no more
verdicts than a correction does (`retry_vote_budget`). A majority vote over first answers uses none and is compared with
answers without an oracle only. Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from engine.evaluation.answer_outcomes import Answer, Feedback, QuestionAnswers, is_verified, majority
from engine.evaluation.metrics import Metric, accuracy, mean


@dataclass(frozen=True)
class Budget:
    """Average tokens of reflection in one task, prompts included, and the samples that each question may use for it."""

    vote: float
    """Tokens of attempt, reflections and corrections, per question."""
    retry: float
    """Tokens of reflections and corrections, per question that has a reflection."""
    votes: Mapping[int, int] = field(default_factory=dict)
    """Number of sampled first answers that count, by question id."""
    retries: Mapping[int, int] = field(default_factory=dict)
    """Number of retries, of which those after the first right one cost nothing."""
    voted_retries: Mapping[int, int] = field(default_factory=dict)
    """Number of retries of which the majority counts."""


def budgets(answers: Iterable[QuestionAnswers], seed: int) -> dict[str, Budget]:
    """Compute the budget of each task. Without any reflection in a task its retry budget is 0, which allows one try.

    Args:
        answers: the answers of one policy.
        seed: of the draw between floor and ceiling.
    """
    by_task: dict[str, list[QuestionAnswers]] = {}
    for row in answers:
        by_task.setdefault(row.task, []).append(row)
    found = {}
    for task, rows in by_task.items():
        reflected = [row for row in rows if row.reflection_tokens]
        vote = _average([row.turns[0].cost + row.reflection_cost + row.correction_cost for row in rows])
        retry = _average([row.reflection_cost + row.correction_cost for row in reflected])
        retries = {row.question_id: row.retries for row in rows if row.retries}
        found[task] = Budget(
            vote,
            retry,
            votes=allowed({row.question_id: row.votes for row in rows if row.votes}, vote, seed),
            retries=allowed({question: until_right(tries) for question, tries in retries.items()}, retry, seed),
            voted_retries=allowed(retries, retry, seed),
        )
    return found


def allowed(samples: Mapping[int, Sequence[Answer]], tokens: float, seed: int) -> dict[int, int]:
    """Return how many leading samples of each question count, so that their mean cost per question is `tokens`.

    At least one sample of each question counts, and no more than there are; within these limits the mean is met up to
    the cost of one sample among all questions.

    Args:
        samples: samples of each question, at least one.
        tokens: mean tokens to spend per question, prompts included.
        seed: of the draw.
    """
    if not samples:
        return {}
    costs = {question: _running_costs(answers) for question, answers in samples.items()}
    low, high = 0.0, max(float(one[-1]) for one in costs.values())
    for _ in range(50):
        middle = (low + high) / 2
        spent = sum(min(max(middle, one[0]), one[-1]) for one in costs.values())
        low, high = (middle, high) if spent <= tokens * len(costs) else (low, middle)
    # Systematic sampling: each question has its ceiling with the right probability, and the sum hardly varies.
    start = Random(seed).random()
    found, drawn = {}, start
    order = sorted(costs)
    Random(f"{seed}|order").shuffle(order)
    for question in order:
        one = costs[question]
        floor = max(1, sum(cost <= low for cost in one))
        step = one[floor] - one[floor - 1] if floor < len(one) else 0
        share = (low - one[floor - 1]) / step if step > 0 and low > one[floor - 1] else 0.0
        found[question] = floor + (int(drawn + share) - int(drawn))
        drawn += share
    return found


def _running_costs(answers: Sequence[Answer]) -> list[int]:
    spent, found = 0, []
    for answer in answers:
        spent += answer.cost
        found.append(spent)
    return found


def until_right(tries: Sequence[Answer]) -> Sequence[Answer]:
    """Return the tries up to the first right one, where an oracle stops."""
    for position, answer in enumerate(tries, start=1):
        if answer.verdict == "correct":
            return tries[:position]
    return tries


def baselines(
    answers: Iterable[QuestionAnswers], budget: Mapping[str, Budget], *, protocol: Feedback
) -> dict[str, Metric]:
    """Compute the measured baselines, and the tokens per question of each part, by name.

    `tokens_…` are completion tokens and `prompt_tokens_…` prompt tokens; both are means over all questions, and a
    question without a reflection, or without a retry, counts as 0 there. So `tokens_attempt` + `tokens_reflection` +
    `tokens_correction` are the completion tokens of a question with reflection.

    Args:
        answers: the answers of one policy.
        budget: the budget of each task, see `budgets`.
        protocol: the feedback they were generated under; retries count only with an oracle.
    """
    rows = list(answers)
    spent: dict[str, Callable[[QuestionAnswers], tuple[int, int]]] = {
        "attempt": lambda row: _tokens(row.turns[:1]),
        "reflection": lambda row: (row.reflection_tokens, row.reflection_prompt_tokens),
        "correction": lambda row: _tokens(row.turns[1:]),
    }
    found: dict[str, Metric] = {}
    if any(len(row.retries) > 1 for row in rows) and protocol == "oracle":
        found["acc_retry_budget"] = accuracy(_known(_right_with_retries(row, budget[row.task]) for row in rows))
        spent["retry_budget"] = lambda row: _tokens(_counted_retries(row, budget[row.task]))
        found["acc_retry_vote_budget"] = accuracy(
            _known(_right_with_voted_retries(row, budget[row.task]) for row in rows)
        )
        spent["retry_vote_budget"] = lambda row: _tokens(_voted_retries(row, budget[row.task]))
    if any(row.retries for row in rows):
        spent["retry"] = lambda row: _tokens(row.retries)
    if any(row.votes for row in rows):
        found["acc_vote"] = accuracy(_known(majority(row.votes) for row in rows))
        found["acc_vote_budget"] = accuracy(_known(majority(_counted_votes(row, budget[row.task])) for row in rows))
        spent["vote"] = lambda row: _tokens(row.votes)
        spent["vote_budget"] = lambda row: _tokens(_counted_votes(row, budget[row.task]))
    for name, tokens in spent.items():
        found[f"tokens_{name}"] = mean([tokens(row)[0] for row in rows])
        found[f"prompt_tokens_{name}"] = mean([tokens(row)[1] for row in rows])
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
    return row.votes[: budget.votes.get(row.question_id, 1)]


def _counted_retries(row: QuestionAnswers, budget: Budget) -> Sequence[Answer]:
    return until_right(row.retries)[: budget.retries.get(row.question_id, 1)]


def _voted_retries(row: QuestionAnswers, budget: Budget) -> Sequence[Answer]:
    return row.retries[: budget.voted_retries.get(row.question_id, 1)]


def _right_with_retries(row: QuestionAnswers, budget: Budget) -> bool | None:
    if row.turns[0].verdict == "correct":
        return True
    tries = _counted_retries(row, budget)
    if row.turns[0].verdict != "incorrect" or not tries:
        return None
    if tries[-1].verdict == "correct":
        return True
    return False if all(is_verified(one.verdict) for one in tries) else None


def _right_with_voted_retries(row: QuestionAnswers, budget: Budget) -> bool | None:
    first = row.turns[0].verdict
    if first == "correct":
        return True
    return majority(_voted_retries(row, budget)) if first == "incorrect" else None


def _known(outcomes: Iterable[bool | None]) -> list[bool]:
    return [outcome for outcome in outcomes if outcome is not None]


def _tokens(answers: Sequence[Answer]) -> tuple[int, int]:
    """Completion and prompt tokens."""
    return sum(answer.tokens for answer in answers), sum(answer.prompt_tokens for answer in answers)


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
