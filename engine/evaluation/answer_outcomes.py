"""Answers to held-out questions as the metrics see them: verdicts, votes, tokens and scores, but no texts.

Values only. `unverified` counts as neither right nor wrong: where an outcome depends on it, the outcome is None.
Knows no prompts, models or databases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.tasks import TASK_TYPES
from engine.tasks.base import normalised
from store.records import Verdict

Feedback = Literal["oracle", "oracle-free"]
"""`oracle`: turn 2 only follows a wrong answer, a right turn 1 stays right. `oracle-free`: it follows every answer."""


@dataclass(frozen=True)
class Answer:
    """One answer to a question. `tokens` is the number of completion tokens."""

    verdict: Verdict
    group: str | None = None
    """Equivalent answers have the same group (see `answer_group`); None when the completion contains no answer."""
    tokens: int = 0
    exact: bool | None = None
    """Whether it matches the reference exactly; only where answers are graded."""
    f1: float | None = None
    """Token F1 against the reference; only where answers are graded."""
    prompt_tokens: int = 0

    @property
    def cost(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.tokens


@dataclass(frozen=True)
class QuestionAnswers:
    """The answers of one policy to one held-out question."""

    question_id: int
    task: str
    turns: tuple[Answer, ...]
    """Turn 1, then the turns after reflection, as far as they exist."""
    reflection_tokens: int = 0
    """Completion tokens of all reflections between the turns."""
    retries: tuple[Answer, ...] = ()
    """Retries without a reflection, in the order of their samples."""
    votes: tuple[Answer, ...] = field(default=())
    """Sampled first answers, in the order of their samples."""
    reflection_prompt_tokens: int = 0
    """Prompt tokens of all reflections between the turns."""

    @property
    def reflection_cost(self) -> int:
        """Prompt and completion tokens of all reflections."""
        return self.reflection_prompt_tokens + self.reflection_tokens

    @property
    def correction_tokens(self) -> int:
        """Completion tokens of all turns after the first."""
        return sum(turn.tokens for turn in self.turns[1:])

    @property
    def correction_cost(self) -> int:
        """Prompt and completion tokens of all turns after the first."""
        return sum(turn.cost for turn in self.turns[1:])


def is_verified(verdict: Verdict | None) -> bool:
    """Check whether a verdict is known: `correct` or `incorrect`."""
    return verdict in ("correct", "incorrect")


def right_at(row: QuestionAnswers, turn: int, feedback: Feedback) -> bool | None:
    """Return whether the answer is right at a turn (from 1); None when that isn't known.

    With an oracle a right answer is final: there is no later turn.
    """
    for position, answer in enumerate(row.turns[:turn], start=1):
        if not is_verified(answer.verdict):
            return None
        right = answer.verdict == "correct"
        if position == turn or (right and feedback == "oracle"):
            return right
    return None


def majority(answers: Sequence[Answer], *, ties_to_latest: bool = False) -> bool | None:
    """Return whether the majority answer is right; None when its verdict isn't known, or there are no answers.

    Completions without an answer have no vote; if none has one, the result is False, or None if one of them could not
    be verified. A tie goes to the group that came first, or with `ties_to_latest` to the one with the latest answer.
    A group's verdict is that of its first verified answer.
    """
    if not answers:
        return None
    votes: dict[str, list[int]] = {}
    for position, answer in enumerate(answers):
        if answer.group is not None:
            votes.setdefault(answer.group, []).append(position)
    if not votes:
        return None if any(not is_verified(answer.verdict) for answer in answers) else False
    if ties_to_latest:
        winner = max(votes.values(), key=lambda places: (len(places), places[-1]))
    else:
        winner = max(votes.values(), key=lambda places: (len(places), -places[0]))
    known = [answers[place].verdict for place in winner if is_verified(answers[place].verdict)]
    return known[0] == "correct" if known else None


def answer_group(kind: str, answer: str | None) -> str | None:
    """Return the key that is equal for equivalent answers to a kind of task; see `TaskType.same_answer_key`.

    None without an answer; for an unknown kind the text without regard to case and spacing.
    """
    if answer is None or not answer.strip():
        return None
    return TASK_TYPES[kind].same_answer_key(answer) if kind in TASK_TYPES else normalised(answer)
