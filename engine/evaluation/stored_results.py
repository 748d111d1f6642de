"""Reads evaluation results from the store: policies fully measured, and the comparison of child and parent."""

from __future__ import annotations

import sqlite3

from engine.evaluation.control_load import controls_are_measured
from engine.evaluation.held_out_questions import held_out_questions
from engine.evaluation.load_plan import held_out_plans
from engine.evaluation.protocol import feedback_of, protocol_name
from engine.rollout.load_plan import settings_of
from engine.rollout.plan import count
from store.evaluation.comparisons import Comparison, compare, paired_answers
from store.evaluation.floors import floor_words
from store.evaluation.number_format import percent
from store.records import Iteration
from store.runs.policies import evaluations, get_policy


def evaluated_policies(connection: sqlite3.Connection, iteration: Iteration) -> set[int]:
    """Return which of parent and child have all held-out answers and metrics under the iteration's protocols, and the
    controls if the iteration measures them."""
    stored = {(row.policy_id, row.protocol) for row in evaluations(connection, iteration.run_id) if row.task == ""}
    found = set()
    for policy_id in to_measure(iteration):
        plans = held_out_plans(connection, iteration.id, policy_id)
        if all(
            (policy_id, progressed.plan.protocol) in stored and count(progressed.plan, progressed.done).complete
            for progressed in plans
        ) and controls_are_measured(connection, settings_of(iteration), policy_id, plans[0].plan.protocol):
            found.add(policy_id)
    return found


def to_measure(iteration: Iteration) -> set[int]:
    """Return the ids of the policies that an iteration evaluates: its parent, and its child once there is one.

    In an iteration of kind `evaluation` the child is a second policy to measure.
    """
    return {policy_id for policy_id in (iteration.parent_id, iteration.child_id) if policy_id is not None}


def describe_measured(connection: sqlite3.Connection, iteration: Iteration) -> str:
    """Describe the evaluation of an iteration's policies in one line: Acc@t1 and Acc@t2 of each by protocol, and under
    an oracle the floor of Acc@t2.
    """
    split = settings_of(iteration).evaluation.split
    each = [_described(connection, iteration, policy_id) for policy_id in sorted(to_measure(iteration))]
    return f"{' · '.join(each)}, on {split} questions"


def _described(connection: sqlite3.Connection, iteration: Iteration, policy_id: int) -> str:
    words = []
    stored = {
        row.protocol: row
        for row in evaluations(connection, iteration.run_id)
        if row.task == "" and row.policy_id == policy_id
    }
    for progressed in held_out_plans(connection, iteration.id, policy_id):
        protocol = progressed.plan.protocol
        metrics = stored[protocol].metrics
        shares = [
            f"Acc@{turn} {percent(metrics[f'acc_{turn}']['value'], missing='not measured')}" for turn in ("t1", "t2")
        ]
        floor = floor_words(protocol, metrics)
        shares += [floor] if floor else []
        words.append(f"{feedback_of(protocol)} {', '.join(shares)}, n = {stored[protocol].n}")
    return f"{get_policy(connection, policy_id).name}: {'; '.join(words)}"


def compare_child(connection: sqlite3.Connection, iteration: Iteration) -> Comparison:
    """Compare an iteration's child with its parent on the held-out questions, paired by question."""
    assert iteration.parent_id is not None and iteration.child_id is not None
    settings = settings_of(iteration)
    questions = held_out_questions(connection, iteration, settings)
    protocol = protocol_name(settings, questions)
    return compare(paired_answers(connection, iteration.parent_id, iteration.child_id, protocol), protocol)
