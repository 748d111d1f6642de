"""The floors of a policy's Acc@t2 under an oracle, from the questions of its run; see `store.evaluation.floors`.

The task kind of a question says how many options it has and which answers count as the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from engine.evaluation.answer_outcomes import QuestionAnswers, answer_group, right_at
from engine.tasks import TASK_TYPES
from store.database.connection import write
from store.evaluation.floors import FLOOR, ConstantPairs, FirstAnswer, Floor, Question, constant_pairs, floor_of
from store.evaluation.held_out_answers import held_out_answers, is_oracle
from store.evaluation.transfer import grouped, transfer_tasks
from store.records import Evaluation, Run, StoredQuestion
from store.runs.policies import add_evaluation_metrics, evaluations
from store.runs.runs import list_runs, run_questions


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
    questions: Sequence[StoredQuestion],
    first: Mapping[int, FirstAnswer],
    kinds: Mapping[str, str],
    pairs: ConstantPairs,
    transfer: AbstractSet[str] = frozenset(),
) -> dict[str, Floor]:
    """Compute the floor of each task, over all trained tasks under the empty name, and over the transfer tasks.

    An open question of a transfer task has no floor: there are no training questions to take a constant from.

    Args:
        questions: the held-out questions.
        first: a policy's first answers to them, see `first_answers`.
        kinds: the task kind by task.
        pairs: the constant pairs, see `pairs_of_run`.
        transfer: names of the transfer tasks.
    """
    known = [floor_question(question, kinds.get(question.task, "")) for question in questions]
    return {task: floor_of(part, first, pairs) for task, part in grouped(known, transfer).items()}


def add_missing_floors(connection: sqlite3.Connection) -> int:
    """Add the floor to every evaluation under an oracle that was stored without one; returns how many were added.

    Evaluations of earlier versions have none. Their other numbers stay as they are, and an evaluation whose answers
    aren't stored stays without a floor.

    Args:
        connection: a writer outside a transaction.
    """
    added = 0
    for run in list_runs(connection):
        missing = [
            one for one in evaluations(connection, run.id) if is_oracle(one.protocol) and FLOOR not in one.metrics
        ]
        if missing:
            added += _add_floors(connection, run, missing)
    return added


def _add_floors(connection: sqlite3.Connection, run: Run, missing: Sequence[Evaluation]) -> int:
    kinds = stored_kinds(run)
    pairs = pairs_of_run(connection, run.id, kinds)
    held_out = [*run_questions(connection, run.id, "dev"), *run_questions(connection, run.id, "test")]
    added = 0
    for policy_id, protocol in sorted({(one.policy_id, one.protocol) for one in missing}):
        first = {
            answer.question_id: FirstAnswer(answer.t1 == "correct")
            for answer in held_out_answers(connection, policy_id, protocol)
            if answer.right(2, oracle=True) is not None
        }
        asked = [one for one in held_out if one.id in first]
        floors = floors_by_task(asked, first, kinds, pairs, transfer_tasks(run.settings))
        with write(connection):
            for one in missing:
                if (one.policy_id, one.protocol) == (policy_id, protocol) and one.task in floors and first:
                    add_evaluation_metrics(connection, one.id, {FLOOR: floors[one.task].as_metric()})
                    added += 1
    return added


def stored_kinds(run: Run) -> dict[str, str]:
    """Return the kind of each task by its name, from settings that may be those of an earlier version."""
    tasks = run.settings.get("tasks")
    return {
        str(task["name"]): str(task.get("kind", ""))
        for task in (tasks if isinstance(tasks, list) else [])
        if isinstance(task, Mapping) and "name" in task
    }
