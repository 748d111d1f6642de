"""Computes the results of a policy's controls from the stored texts, as the JSON values that are stored and shown."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from engine.evaluation.control_arms import shuffled
from engine.evaluation.control_plan import USES_OWN, ControlPlan, differs
from engine.evaluation.policy_floors import floor_question, pairs_of_run
from engine.evaluation.protocol import feedback_of, sibling_protocol
from store.evaluation.control_analysis import analyse_seeds
from store.evaluation.control_arms import SHUFFLED
from store.evaluation.control_measurement import ControlMeasurement
from store.evaluation.floors import guess_probability
from store.evaluation.held_out_answers import held_out_answers
from store.evaluation.number_format import counted
from store.evaluation.own_judgement import JudgedAnswer, analyse_judgement, confidence, stored_threshold
from store.records import Arm
from store.rollouts.control_results import MEASUREMENT, control_results
from store.rollouts.control_texts import StoredControl

Answers = dict[str, dict[int, tuple[bool | None, str | None]]]


def control_outcome(connection: sqlite3.Connection, run_id: int, plan: ControlPlan, split: str) -> dict[str, Any]:
    """Return the results of the controls of a policy.

    Args:
        connection: a reader.
        run_id: the run of the policy.
        plan: the plan with all its stored texts.
        split: the split of its questions.
    """
    reasons: dict[str, str] = {
        _analysed(arm): words for arm, words in {**missing_arms(plan), **plan.unavailable}.items()
    }
    tasks = {wrong.question.id: wrong.question.task for wrong in plan.wrong}
    measured = ControlMeasurement(corrections(plan), tasks, _floors(connection, run_id, plan), reasons)
    return {
        "split": split,
        "first_answers": plan.first_answers,
        "answered": len(plan.first),
        "wrong": len(plan.wrong),
        "unavailable": reasons,
        "remarks": list(_remarks(plan)),
        "analysis": analyse_seeds([measured], seed=plan.plan.seed).as_json(),
        "judgement": _judgement(connection, run_id, plan, split),
        "cost": _cost(plan.stored.values()),
        # An experiment analyses the policies of its seeds together (`store.evaluation.control_analysis`).
        MEASUREMENT: measured.as_json(),
    }


def missing_arms(plan: ControlPlan) -> dict[Arm, str]:
    """Return the arms that the stored reflections leave without anything to show, each with its reason."""
    found: dict[Arm, str] = {}
    reflections = plan.reflections()
    if reflections is None or not plan.wrong:
        return found
    if not reflections:
        found |= {arm: "there is no reflection on a wrong answer" for arm in plan.arms if arm in USES_OWN}
        return found
    if "shuffled" in plan.arms:
        assigned = shuffled(reflections, 1, plan.plan.seed)[0]
        alike = sorted({one.task for one in reflections if one.question_id not in assigned})
        if alike:
            tasks = ", ".join(alike)
            words = f"all wrong answers of {counted(len(alike), 'task')} are the same ({tasks})"
            found["shuffled"] = f"{words}, so their reflections can't be shuffled"
    if "foreign" in plan.arms and len({one.task for one in reflections}) == 1:
        found["foreign"] = "all reflections belong to one task"
    if "told" in plan.arms and not any(wrong.question.reference.strip() for wrong in plan.wrong):
        found["told"] = "the questions have no reference answer to state"
    return found


def _analysed(arm: Arm) -> str:
    """Return the name under which the analysis knows an arm; `shuffled` is there a number of draws."""
    return SHUFFLED[0] if arm == "shuffled" else arm


def corrections(plan: ControlPlan) -> Answers:
    """Return the verdict and the group of each correction, by the analysis's arm and question id.

    Failed generations are left out. In `other-answer` the first sample that differs from the wrong answer counts; a
    question without one within all tries keeps its wrong answer.
    """
    found: Answers = {}
    for (arm, question_id, sample), row in plan.stored.items():
        if row.verdict is None or row.error is not None or arm == "other-answer":
            continue
        name = {"own": ("own", "own-repeat"), "shuffled": SHUFFLED}.get(arm, (arm,))[sample]
        found.setdefault(name, {})[question_id] = (_right(row), row.answer_group)
    if "other-answer" in plan.arms:
        for wrong in plan.wrong:
            samples = [
                row
                for (arm, question_id, _), row in sorted(plan.stored.items())
                if arm == "other-answer" and question_id == wrong.question.id and row.error is None
            ]
            if samples:
                other = next((row for row in samples if differs(row, wrong.group)), None)
                answer = (False, wrong.group) if other is None else (_right(other), other.answer_group)
                found.setdefault("other-answer", {})[wrong.question.id] = answer
    return found


def _right(row: StoredControl) -> bool | None:
    return None if row.verdict == "unverified" else row.verdict == "correct"


def _floors(connection: sqlite3.Connection, run_id: int, plan: ControlPlan) -> dict[int, float]:
    pairs = pairs_of_run(connection, run_id, plan.kinds)
    found = {}
    for wrong in plan.wrong:
        question = floor_question(wrong.question, plan.kinds.get(wrong.question.task, ""))
        probability = guess_probability(question, wrong.group, pairs)
        if probability is not None:
            found[wrong.question.id] = probability
    return found


def _remarks(plan: ControlPlan) -> Iterable[str]:
    """What a reader of the results has to know about the texts."""
    failed = sum(row.error is not None for row in plan.stored.values())
    if failed:
        yield f"{counted(failed, 'text')} could not be generated; retry-failed generates them again"
    own = {one.question_id: one.text for one in plan.reflections() or ()}
    alike = len(own) - len(set(own.values()))
    if alike:
        yield f"{alike} of {counted(len(own), 'reflection')} repeat the text of another, so shuffling changes less"


def _judgement(connection: sqlite3.Connection, run_id: int, plan: ControlPlan, split: str) -> dict[str, Any] | None:
    """Return the analysis of the policy's own judgement; None if it was not asked."""
    replies: dict[int, list[str | None]] = {}
    for (arm, question_id, _), row in plan.stored.items():
        if arm == "judgement" and row.error is None:
            replies.setdefault(question_id, []).append(row.answer)
    if not plan.section.judgement_samples:
        return None
    policy_id, protocol = plan.plan.policy_id, plan.plan.protocol
    free = protocol if feedback_of(protocol) == "oracle-free" else sibling_protocol(protocol)
    second = {one.question_id: one.right(2, oracle=False) for one in held_out_answers(connection, policy_id, free)}
    rows = [
        JudgedAnswer(
            one.question.id,
            confidence(replies.get(one.question.id, ())),
            one.attempt.verdict == "correct",
            second.get(one.question.id),
        )
        for one in plan.first
    ]
    known = [one.results for one in control_results(connection, run_id) if one.policy_id == policy_id]
    return analyse_judgement(rows, None if split == "dev" else stored_threshold(known)).as_json()


def _cost(rows: Iterable[StoredControl]) -> dict[str, int]:
    """Return what the texts cost; those taken over from the evaluation cost nothing."""
    every = list(rows)
    generated = [row for row in every if row.reused_from is None]
    return {
        "texts": len(generated),
        "reused": len(every) - len(generated),
        "prompt_tokens": sum(row.prompt_tokens for row in generated),
        "cached_tokens": sum(row.cached_tokens for row in generated),
        "completion_tokens": sum(row.completion_tokens for row in generated),
    }
