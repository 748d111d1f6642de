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
from store.evaluation.repeat_noise import is_repeat
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
    unfinished: int
    """Wrong answers whose reply has a reflection but no second try, so that `own` is generated once more."""
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
        again = f" + {self.unfinished:,} for replies without a second try" if self.unfinished else ""
        tokens = "length of a correction not known" if self.tokens is None else f"about {count(self.tokens)} tokens"
        return (
            f"controls: {wrong} × {counted(self.corrections, 'correction')}{again}{judged} = "
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
    transfer = settings.transfer_tasks
    questions = sum(getattr(task, split) for task in settings.tasks if task.name not in transfer)
    known: int | None = None
    unfinished = 0
    run = None if connection is None else run_named(connection, settings.name)
    if connection is not None and run is not None:
        stored = [one.id for one in run_questions(connection, run.id, split) if one.task not in transfer]
        questions = len(stored) or questions
        measured = None if policy is None else find_policy(connection, run.id, policy)
        if measured is not None and stored:
            protocol = _protocol(connection, measured.id, stored)
            if protocol is not None:
                known = _wrong(connection, measured.id, protocol, stored)
                if section.first_answers == "own":
                    unfinished = _without_second_try(connection, measured.id, protocol, stored)
    share = figures["held_out_wrong_share"].value
    share = figures["wrong_share"].value if share is None else share
    wrong = known if known is not None else round(questions * (1.0 if share is None else share))
    per_answer = settings.evaluation.control_corrections()
    corrections = wrong * per_answer + unfinished
    judgements = questions * section.judgement_samples
    length = figures["correction_tokens"].value
    tokens = None if length is None else round(corrections * length) + questions * section.judgement_tokens
    return ControlCost(
        questions,
        wrong,
        known is not None,
        per_answer,
        unfinished,
        section.judgement_samples,
        corrections + judgements,
        tokens,
    )


def _protocol(connection: sqlite3.Connection, policy_id: int, questions: list[int]) -> str | None:
    """Return the newest protocol under which the policy answered all questions; a repetition is none."""
    wanted = set(questions)
    answered: dict[str, set[int]] = {}
    for protocol, question in connection.execute(
        "SELECT protocol, question_id FROM attempts WHERE policy_id = ? AND protocol <> '' AND turn = 1"
        " AND sample = 0 ORDER BY id",
        (policy_id,),
    ):
        answered.setdefault(protocol, set()).add(question)
    plain = [name for name, found in answered.items() if wanted <= found and not is_repeat(name)]
    return plain[-1] if plain else None


def _wrong(connection: sqlite3.Connection, policy_id: int, protocol: str, questions: list[int]) -> int:
    """Count the wrong first answers."""
    verdicts = dict(
        connection.execute(
            "SELECT question_id, verdict FROM attempts WHERE policy_id = ? AND protocol = ? AND turn = 1"
            " AND sample = 0 AND error IS NULL",
            (policy_id, protocol),
        ).fetchall()
    )
    return sum(verdicts.get(question) == "incorrect" for question in questions)


def _without_second_try(connection: sqlite3.Connection, policy_id: int, protocol: str, questions: list[int]) -> int:
    """Count the wrong first answers that were reflected on in one reply which has no correction."""
    rows = connection.execute(
        "SELECT a.question_id FROM attempts a JOIN reflections r ON r.attempt_id = a.id"
        " JOIN attempts c ON c.reflection_id = r.id"
        " WHERE a.policy_id = ? AND a.protocol = ? AND a.turn = 1 AND a.sample = 0 AND a.verdict = 'incorrect'"
        " AND r.error IS NULL AND trim(r.text) <> '' AND c.sample = 0 AND c.prompt_hash = r.prompt_hash"
        " AND trim(c.reasoning) = ''",
        (policy_id, protocol),
    ).fetchall()
    return len({row[0] for row in rows} & set(questions))
