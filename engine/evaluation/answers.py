"""What the measures know of the answers to held-out questions: verdicts, votes, tokens and scores, no texts.

Values only. `unverified` counts as neither right nor wrong: where an outcome hangs on it, the outcome is None.
Knows nothing of prompts, models or databases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from engine.tasks import TASK_TYPES
from engine.tasks.base import normalised
from store.records import Verdict

Feedback = Literal["oracle", "oracle-free"]
"""`oracle`: turn 2 is taken for wrong answers only, a right turn 1 stays right. `oracle-free`: for every answer."""


@dataclass(frozen=True)
class Answer:
    """One answer to a question. `tokens` are completion tokens."""

    verdict: Verdict
    group: str | None = None
    """Answers of one group say the same (see `answer_group`); None when the reply held no answer."""
    tokens: int = 0
    exact: bool | None = None
    """Whether it matches the reference exactly; only where answers are graded."""
    f1: float | None = None
    """Token F1 against the reference; only where answers are graded."""


@dataclass(frozen=True)
class Answered:
    """The answers of one policy to one held-out question."""

    question_id: int
    task: str
    turns: tuple[Answer, ...]
    """Turn 1, then the turns after reflection, as far as they were taken."""
    reflection_tokens: int = 0
    """Completion tokens of all reflections between the turns."""
    retries: tuple[Answer, ...] = ()
    """Second tries without a reflection, in the order of their samples."""
    votes: tuple[Answer, ...] = field(default=())
    """Sampled first answers, in the order of their samples."""

    @property
    def correction_tokens(self) -> int:
        """Completion tokens of all turns after the first."""
        return sum(turn.tokens for turn in self.turns[1:])


def judged(verdict: Verdict | None) -> bool:
    """True for a verdict that says right or wrong."""
    return verdict in ("correct", "incorrect")


def right_at(row: Answered, turn: int, feedback: Feedback) -> bool | None:
    """Whether the answer is right at a turn (from 1); None when that isn't known.

    With an oracle an answer that is right stays: no later turn is taken.
    """
    for position, answer in enumerate(row.turns[:turn], start=1):
        if not judged(answer.verdict):
            return None
        right = answer.verdict == "correct"
        if position == turn or (right and feedback == "oracle"):
            return right
    return None


def majority(answers: Sequence[Answer], *, ties_to_latest: bool = False) -> bool | None:
    """Whether the answer that most of these give is right; None when its verdict isn't known, or there are none.

    Replies without an answer have no vote; when none has one, the question is answered wrongly, unless one of the
    replies could not be judged. A tie goes to the group that was first, or with `ties_to_latest` to the one with
    the latest answer. A group's verdict is that of its first judged answer.
    """
    if not answers:
        return None
    votes: dict[str, list[int]] = {}
    for position, answer in enumerate(answers):
        if answer.group is not None:
            votes.setdefault(answer.group, []).append(position)
    if not votes:
        return None if any(not judged(answer.verdict) for answer in answers) else False
    if ties_to_latest:
        winner = max(votes.values(), key=lambda places: (len(places), places[-1]))
    else:
        winner = max(votes.values(), key=lambda places: (len(places), -places[0]))
    known = [answers[place].verdict for place in winner if judged(answers[place].verdict)]
    return known[0] == "correct" if known else None


def answer_group(kind: str, answer: str | None) -> str | None:
    """The key under which answers to a kind of task count as one; see `TaskType.same_answer_key`. None without an
    answer; of an unknown kind the text, without regard to case and spacing."""
    if answer is None or not answer.strip():
        return None
    return TASK_TYPES[kind].same_answer_key(answer) if kind in TASK_TYPES else normalised(answer)
