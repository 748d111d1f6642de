"""The floor of Acc@t2 under an oracle: the accuracy that guessing reaches once the policy is told that it was wrong.

Two rules (`options` of a question selects one):

- **Options known** (k of them): keep the first answer, and when it is wrong name another option at random:
  `Acc@t1 + Σ over wrong of 1/(k − 1)`. With four options this is what the paper's LogiQA column has to exceed.
- **Otherwise the constant pair**: give the commonest answer of the task's training questions, and when told that it is
  wrong the second commonest. This needs no model.

Pure functions on values. How answers are compared and how many options a question has are facts of its task kind, so
the engine prepares the questions and stores the result with the evaluation, as the metric `floor_t2`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from store.evaluation.held_out_answers import is_oracle
from store.evaluation.number_format import percent

FLOOR = "floor_t2"
"""Name of the metric among those of an evaluation."""

BY_OPTIONS = "by_options"
"""Key of the metric: the share of the questions whose floor follows from their options; the others have constants."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question as its floor sees it."""

    id: int
    task: str
    options: int | None
    """Number of options to choose from; None if the question is open or its options aren't known."""
    accepted: frozenset[str]
    """Keys of the reference answers: equal for the answers that its task kind considers the same."""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """The verdict on a policy's first answer to a question, and the key of the answer (None without one)."""

    right: bool
    answer: str | None = None


ConstantPairs = Mapping[str, tuple[str, ...]]
"""By task the keys of the commonest and the second commonest training answer; fewer if there are fewer answers."""


@dataclass(frozen=True, slots=True)
class Floor:
    """The floor of Acc@t2 over `n` questions, a share. `value` is None if it can't be computed."""

    value: float | None
    n: int
    by_options: float | None
    """Share of the questions whose floor follows from their options; None when n is 0."""

    def as_metric(self) -> dict[str, float | None]:
        """Return the floor in the form in which metrics are stored. It is no estimate and has no interval."""
        return {"value": self.value, "low": None, "high": None, "n": self.n, BY_OPTIONS: self.by_options}


def constant_pairs(training: Iterable[Question]) -> dict[str, tuple[str, ...]]:
    """Return by task the commonest answer of the training questions without known options, and the second commonest.

    Where questions accept several answers, the second one is the commonest among the questions that don't accept the
    first, which is what remains once that was wrong. Equally common answers are ordered by their key, so that the
    result doesn't depend on the order of the questions. A task without such questions is missing.
    """
    by_task: dict[str, list[frozenset[str]]] = {}
    for question in training:
        if question.options is None and question.accepted:
            by_task.setdefault(question.task, []).append(question.accepted)
    found: dict[str, tuple[str, ...]] = {}
    for task, answers in by_task.items():
        first = _commonest(answers)
        others = [accepted for accepted in answers if first not in accepted]
        found[task] = (first, _commonest(others)) if others else (first,)
    return found


def _commonest(answers: Iterable[frozenset[str]]) -> str:
    counts = Counter(answer for accepted in answers for answer in accepted)
    return min(counts, key=lambda answer: (-counts[answer], answer))


def guess_probability(question: Question, wrong_answer: str | None, pairs: ConstantPairs) -> float | None:
    """Return the probability that guessing another answer to a wrongly answered question is right.

    With k options, one of the others is named at random: 1/(k − 1), as in the floor; a single option is right whatever
    was answered before. Otherwise the guess is the commonest training answer that isn't the wrong one: 0 or 1.

    Args:
        question: the question.
        wrong_answer: key of the wrong first answer; None if it contained none.
        pairs: the constant pairs of the tasks.

    Returns:
        The probability, or None if the task has no training questions to take a constant from.
    """
    if question.options is not None:
        return _another_option(question.options)
    pair = pairs.get(question.task)
    if not pair:
        return None
    return float(next((answer for answer in pair if answer != wrong_answer), None) in question.accepted)


def guess_probabilities(
    questions: Iterable[Question], first: Mapping[int, FirstAnswer], pairs: ConstantPairs
) -> dict[int, float]:
    """Return `guess_probability` by id of the wrongly answered questions for which it is known."""
    found = {}
    for question in questions:
        answer = first.get(question.id)
        if answer is not None and not answer.right:
            probability = guess_probability(question, answer.answer, pairs)
            if probability is not None:
                found[question.id] = probability
    return found


def floor_of(questions: Iterable[Question], first: Mapping[int, FirstAnswer], pairs: ConstantPairs) -> Floor:
    """Compute the floor of Acc@t2 over the questions that have a first answer.

    Args:
        questions: held-out questions; those without an entry in `first` are left out.
        first: by question id the policy's first answer, for the questions that Acc@t2 is computed over.
        pairs: the constant pairs of the tasks.

    Returns:
        The floor. It isn't known if an open question's task has no training questions, or without any question.
    """
    expected: list[float | None] = []
    with_options = 0
    for question in questions:
        answer = first.get(question.id)
        if answer is None:
            continue
        if question.options is not None:
            with_options += 1
            expected.append(1.0 if answer.right else _another_option(question.options))
        else:
            pair = pairs.get(question.task)
            expected.append(float(not question.accepted.isdisjoint(pair)) if pair else None)
    if not expected:
        return Floor(None, 0, None)
    known = [one for one in expected if one is not None]
    value = sum(known) / len(known) if len(known) == len(expected) else None
    return Floor(value, len(expected), with_options / len(expected))


def options_floor(acc_t1: float, options: int) -> float:
    """Return the floor of a published Acc@t1 (a share) on questions with the same number of options.

    Raises:
        ValueError: for fewer than two options, or an accuracy outside 0 to 1.
    """
    if options < 2 or not 0.0 <= acc_t1 <= 1.0:
        raise ValueError(f"an accuracy of {acc_t1} with {options} options has no floor")
    return acc_t1 + (1.0 - acc_t1) * _another_option(options)


def _another_option(options: int) -> float:
    return 1.0 / max(options - 1, 1)


Position = Literal["above", "not above", "unclear", "unknown"]
"""Where Acc@t2 lies: its interval above the floor, its value at or below it, its value above but the floor within the
interval, or one of the two not known."""


def position(acc_t2: Mapping[str, float | None] | None, floor: Mapping[str, float | None] | None) -> Position:
    """Compare a stored Acc@t2 with its floor. Only `above` lets a gain be called reached."""
    value, low, bound = ((acc_t2 or {}).get("value"), (acc_t2 or {}).get("low"), (floor or {}).get("value"))
    if value is None or bound is None:
        return "unknown"
    if value <= bound:
        return "not above"
    return "unclear" if low is None or low <= bound else "above"


NOT_COMPUTED = "not computed"
"""Shown for an evaluation that was stored before floors were; the engine adds the missing ones when it starts."""


def floor_value(floor: Mapping[str, float | None] | None) -> str:
    """Format a stored floor: `77.8 %`, or why there is none."""
    if floor is None:
        return NOT_COMPUTED
    if floor.get("value") is None:
        return "not known (no training questions)" if floor.get("n") else "no questions"
    return percent(floor["value"])


def rule_words(floor: Mapping[str, float | None] | None) -> str:
    """Describe how a stored floor guesses; empty if there is none."""
    by_options = (floor or {}).get(BY_OPTIONS)
    if by_options is None or (floor or {}).get("value") is None:
        return ""
    if by_options == 1.0:
        return "another option at random"
    constant = "the commonest training answer, then the second commonest"
    return constant if by_options == 0.0 else f"another option at random, or {constant}"


_POSITIONS: Mapping[Position, str] = {
    "above": "above",
    "not above": "not above",
    "unclear": "not clearly above",
    "unknown": "",
}


def position_words(acc_t2: Mapping[str, float | None] | None, floor: Mapping[str, float | None] | None) -> str:
    """Describe where Acc@t2 lies relative to its floor, e.g. `not above`; empty if that isn't known."""
    return _POSITIONS[position(acc_t2, floor)]


def floor_words(protocol: str, metrics: Mapping[str, Mapping[str, float | None]]) -> str:
    """Describe the floor of an evaluation and where its Acc@t2 lies, e.g. `floor 77.8 % (not above)`.

    Empty without an oracle: nobody is told there that an answer was wrong, so there is nothing to guess again.
    """
    if not is_oracle(protocol):
        return ""
    return floor_and_position(metrics.get("acc_t2"), metrics.get(FLOOR))


def floor_and_position(acc_t2: Mapping[str, float | None] | None, floor: Mapping[str, float | None] | None) -> str:
    """Format a floor and where Acc@t2 under an oracle lies: `floor 77.8 % (not above)`."""
    where = position_words(acc_t2, floor)
    return f"floor {floor_value(floor)}{f' ({where})' if where else ''}"
