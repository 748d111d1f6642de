"""The floors of a policy's Acc@t2 under an oracle, from the questions of its run; see `store.evaluation.floors`.

The task kind of a question says how many options it has and which answers count as the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from engine.evaluation.answers import QuestionAnswers, answer_group, right_at
from engine.tasks import TASK_TYPES
from store.evaluation.floors import ConstantPairs, FirstAnswer, Floor, Question, constant_pairs, floor_of
from store.records import StoredQuestion
from store.runs.runs import run_questions


def floor_question(question: StoredQuestion, kind: str) -> Question:
    """Return a question as its floor sees it.

    Args:
        question: the stored question.
        kind: its task kind; of an unknown one the options aren't known and the reference is compared as text.
    """
    task = TASK_TYPES.get(kind)
    options = task.option_count(question.options, question.payload) if task else None
    accepted = task.accepted_answers(question.reference, question.payload) if task else (question.reference,)
    keys = (answer_group(kind, answer) for answer in accepted)
    return Question(question.id, question.task, options, frozenset(key for key in keys if key is not None))


def pairs_of_run(connection: sqlite3.Connection, run_id: int, kinds: Mapping[str, str]) -> ConstantPairs:
    """Return the constant pairs of a run's tasks, from its training questions; `kinds` names each task's kind."""
    return constant_pairs(
        floor_question(question, kinds.get(question.task, ""))
        for question in run_questions(connection, run_id, "train")
    )


def first_answers(rows: Iterable[QuestionAnswers]) -> dict[int, FirstAnswer]:
    """Return by question id the first answers of the questions that Acc@t2 under an oracle is computed over."""
    return {
        row.question_id: FirstAnswer(row.turns[0].verdict == "correct", row.turns[0].group)
        for row in rows
        if right_at(row, 2, "oracle") is not None
    }


def floors_by_task(
    questions: Sequence[StoredQuestion], rows: Sequence[QuestionAnswers], kinds: Mapping[str, str], pairs: ConstantPairs
) -> dict[str, Floor]:
    """Compute the floor of each task, and over all tasks under the empty name.

    Args:
        questions: the held-out questions.
        rows: a policy's answers to them under an oracle.
        kinds: the task kind by task.
        pairs: the constant pairs, see `pairs_of_run`.
    """
    first = first_answers(rows)
    known = [floor_question(question, kinds.get(question.task, "")) for question in questions]
    tasks = sorted({row.task for row in rows})
    return {"": floor_of(known, first, pairs)} | {
        task: floor_of([question for question in known if question.task == task], first, pairs) for task in tasks
    }
