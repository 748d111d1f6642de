"""What the controls of a policy cost, before they are generated: wrong answers × corrections × tokens of a correction.

The number of wrong answers is counted where the policy was evaluated before; otherwise it follows from the estimate's
share of wrong answers, or is at most the number of questions.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from store.estimates.inputs import Figures
from store.evaluation.number_format import count, counted
from store.runs.policies import find_policy
from store.runs.runs import run_named, run_questions
from store.settings import RunSettings


@dataclass(frozen=True, slots=True)
class ControlCost:
    """The cost of one policy's controls. `tokens` are generated tokens; None while their mean length isn't known."""

    questions: int
    wrong: int
    counted: bool
    """Whether `wrong` is counted from stored answers."""
    corrections: int
    """Generated corrections per wrong answer."""
    judgements: int
    """Judgements per question."""
    texts: int
    tokens: int | None

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @property
    def words(self) -> str:
        """The cost in one line."""
        wrong = counted(self.wrong, "wrong answer") if self.counted else f"about {counted(self.wrong, 'wrong answer')}"
        judged = f" + {counted(self.questions, 'answer')} × {self.judgements} judgements" if self.judgements else ""
        tokens = "length of a correction not known" if self.tokens is None else f"about {count(self.tokens)} tokens"
        return (
            f"controls: {wrong} × {counted(self.corrections, 'correction')}{judged} = "
            f"{counted(self.texts, 'text')} to generate, {tokens}"
        )


def control_cost(
    settings: RunSettings, figures: Figures, connection: sqlite3.Connection | None, policy: str | None
) -> ControlCost:
    """Return the cost of the controls of a policy of the settings' run.

    Args:
        settings: those of the evaluation, with its `controls` section.
        figures: of the estimate, for lengths and shares.
        connection: to the workspace's database; None if there is none yet.
        policy: the name of the policy; None for an unknown one.
    """
    section, split = settings.evaluation.controls, settings.evaluation.split
    questions = sum(getattr(task, split) for task in settings.tasks)
    known: int | None = None
    run = None if connection is None else run_named(connection, settings.name)
    if connection is not None and run is not None:
        stored = [question.id for question in run_questions(connection, run.id, split)]
        questions = len(stored) or questions
        measured = None if policy is None else find_policy(connection, run.id, policy)
        if measured is not None and stored:
            known = _wrong(connection, measured.id, stored)
    share = figures["held_out_wrong_share"].value
    share = figures["wrong_share"].value if share is None else share
    wrong = known if known is not None else round(questions * (1.0 if share is None else share))
    corrections = wrong * section.corrections()
    judgements = questions * section.judgement_samples
    length = figures["correction_tokens"].value
    tokens = None if length is None else round(corrections * length) + questions * section.judgement_tokens
    return ControlCost(
        questions,
        wrong,
        known is not None,
        section.corrections(),
        section.judgement_samples,
        corrections + judgements,
        tokens,
    )


def _wrong(connection: sqlite3.Connection, policy_id: int, questions: list[int]) -> int | None:
    """Count the wrong first answers under the newest protocol by which the policy answered all questions."""
    wanted = set(questions)
    answers: dict[str, dict[int, str]] = {}
    for protocol, question, verdict in connection.execute(
        "SELECT protocol, question_id, verdict FROM attempts WHERE policy_id = ? AND protocol <> '' AND turn = 1"
        " AND sample = 0 ORDER BY id",
        (policy_id,),
    ):
        answers.setdefault(protocol, {})[question] = verdict
    for found in reversed(answers.values()):
        if wanted <= found.keys():
            return sum(found[question] == "incorrect" for question in questions)
    return None
