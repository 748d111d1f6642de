"""Exact match and token F1 of graded tasks: free text, compared as in SQuAD.

Every verified question counts with its F1: an exact match is 1, a completion without an answer is 0. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.evaluation.answer_outcomes import Answer, Feedback, QuestionAnswers, is_verified
from engine.evaluation.metrics import Metric, accuracy, mean_score
from store.records import Verdict


def grade(*, verdict: Verdict, score: float | None, exact: bool) -> tuple[bool | None, float | None]:
    """Return exact match and F1 of one answer; both None when it could not be verified."""
    if not is_verified(verdict):
        return None, None
    if exact:
        return True, 1.0
    if score is None:
        # Without a score, an accepted answer has an F1 of 1, a rejected one of 0.
        return False, float(verdict == "correct")
    return False, score


def graded(answers: Iterable[QuestionAnswers], *, protocol: Feedback) -> dict[str, Metric]:
    """Compute `em_t1`, `em_t2`, `f1_t1`, `f1_t2`, and `f1_improved`: the share of turns 2 with a higher F1 than turn 1.

    Empty when no answer is graded.
    """
    rows = [row for row in answers if any(turn.f1 is not None for turn in row.turns)]
    if not rows:
        return {}
    first = [row.turns[0] for row in rows if row.turns[0].f1 is not None]
    second = [turn for row in rows if (turn := _second(row, protocol)) is not None]
    changes = [
        (before, after)
        for row in rows
        if len(row.turns) > 1 and (before := row.turns[0].f1) is not None and (after := row.turns[1].f1) is not None
    ]
    return {
        "em_t1": accuracy([bool(turn.exact) for turn in first]),
        "em_t2": accuracy([bool(turn.exact) for turn in second]),
        "f1_t1": _mean_f1(first),
        "f1_t2": _mean_f1(second),
        "f1_improved": accuracy([after > before for before, after in changes]),
    }


def _second(row: QuestionAnswers, protocol: Feedback) -> Answer | None:
    """Return the answer at turn 2; with an oracle a right first answer is final."""
    first = row.turns[0]
    if not is_verified(first.verdict):
        return None
    if protocol == "oracle" and first.verdict == "correct":
        return first
    return row.turns[1] if len(row.turns) > 1 and row.turns[1].f1 is not None else None


def _mean_f1(answers: Sequence[Answer]) -> Metric:
    return mean_score([answer.f1 for answer in answers if answer.f1 is not None])
