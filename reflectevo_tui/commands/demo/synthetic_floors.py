"""The floors of the synthetic evaluations, which no engine computes."""

from __future__ import annotations

import sqlite3

from store.database.connection import write
from store.evaluation.floors import FLOOR, FirstAnswer, Question, floor_of
from store.evaluation.held_out_answers import held_out_answers, reference_answers
from store.runs.policies import add_evaluation_metrics, evaluations
from store.runs.runs import run_questions


def add_floors(connection: sqlite3.Connection, run_id: int) -> None:
    """Add the floor to every evaluation of a synthetic run, all of which are under an oracle."""
    pairs = {
        one.task: (one.commonest,) if one.second is None else (one.commonest, one.second)
        for one in reference_answers(connection, run_id, "train")
    }
    questions = [
        Question(one.id, one.task, len(one.options) or None, frozenset({one.reference}))
        for one in run_questions(connection, run_id, "test")
    ]
    for one in evaluations(connection, run_id):
        first = {
            answer.question_id: FirstAnswer(answer.t1 == "correct")
            for answer in held_out_answers(connection, one.policy_id, one.protocol)
            if answer.right(2, oracle=True) is not None and one.task in ("", answer.task)
        }
        with write(connection):
            add_evaluation_metrics(connection, one.id, {FLOOR: floor_of(questions, first, pairs).as_metric()})
