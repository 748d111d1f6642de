"""Loads the plan of a policy's controls from the store, and checks whether they were measured."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from engine.evaluation.control_plan import BY_PARENT, ControlPlan, wrong_answers
from engine.evaluation.load_plan import held_out_plan
from engine.rollout.load_plan import Progressed, asked_in_one_generation, kinds_of, settings_of
from store.records import Arm, Policy
from store.rollouts.control_results import has_control_results
from store.rollouts.control_texts import control_texts
from store.runs.iterations import get_iteration
from store.runs.policies import BASE_POLICY, find_policy, get_policy
from store.settings import ControlsSection, RunSettings


def control_plan(
    connection: sqlite3.Connection, iteration_id: int, policy_id: int, gone: Mapping[int, str] | None = None
) -> ControlPlan:
    """Load the controls of a policy, under the protocol that decides among those the iteration measures.

    They ask the questions of the trained tasks; transfer tasks are measured without controls.

    Args:
        connection: to the workspace's database.
        iteration_id: the iteration or evaluation whose settings apply.
        policy_id: the measured policy.
        gone: policies whose weights can't be served, each with the reason.
    """
    iteration = get_iteration(connection, iteration_id)
    settings = settings_of(iteration)
    section, kinds = settings.evaluation.controls, kinds_of(settings)
    held_out = held_out_plan(connection, iteration_id, policy_id)
    policy = get_policy(connection, policy_id)
    unavailable = _without_parent(connection, policy, settings, gone or {})
    transfer = settings.transfer_tasks
    asked = [question for question in held_out.plan.questions if question.task not in transfer]
    first = wrong_answers(asked, held_out.done, kinds, only_wrong=False)
    wrong, evaluated = [one for one in first if one.attempt.verdict == "incorrect"], held_out.done
    base = find_policy(connection, iteration.run_id, BASE_POLICY)
    if section.first_answers == "base" and base is not None and base.id != policy_id:
        wrong, evaluated = [], {}
        source = held_out_plan(connection, iteration_id, base.id)
        if _is_answered(source):
            wrong = wrong_answers(asked, source.done, kinds)
        else:
            words = f"the base policy {base.name} has not answered these questions; measure it first"
            unavailable |= dict.fromkeys(section.measured_arms, words)
    rows = control_texts(connection, policy_id, held_out.plan.protocol, {section.first_answers, "own"})
    return ControlPlan(
        plan=held_out.plan,
        section=section,
        kinds=kinds,
        wrong=wrong,
        first=first,
        evaluated=evaluated,
        stored={
            (row.arm, row.question_id, row.sample): row
            for row in rows
            if row.first_answers == ("own" if row.arm == "judgement" else section.first_answers)
        },
        parent_id=policy.parent_id,
        parent_in_one_generation=policy.parent_id is not None
        and asked_in_one_generation(connection, policy.parent_id, policy.parent_id),
        unavailable=unavailable,
    )


def _is_answered(progressed: Progressed) -> bool:
    answered = (progressed.done.get(question.id) for question in progressed.plan.questions)
    return all(one is not None and one.attempt is not None for one in answered)


def _without_parent(
    connection: sqlite3.Connection, policy: Policy, settings: RunSettings, gone: Mapping[int, str]
) -> dict[Arm, str]:
    """Return the arms that need the parent policy and can't have it, each with its reason."""
    wanted = BY_PARENT.intersection(settings.evaluation.controls.measured_arms)
    if policy.parent_id is None:
        return dict.fromkeys(wanted, f"policy {policy.name} has no parent")
    if policy.parent_id in gone:
        return dict.fromkeys(wanted, gone[policy.parent_id])
    if settings.reflector is not None:
        return {arm: "a separate model reflects for both policies" for arm in wanted if arm == "parent-reflection"}
    return {}


def control_request(section: ControlsSection) -> dict[str, Any]:
    """Return the settings that determine which controls are measured, as JSON values."""
    return {
        "arms": list(section.measured_arms),
        "shuffles": section.shuffles,
        "judgement_samples": section.judgement_samples,
    }


def controls_are_measured(connection: sqlite3.Connection, settings: RunSettings, policy_id: int, protocol: str) -> bool:
    """Check whether a policy's controls are measured as the settings request, or not requested."""
    section = settings.evaluation.controls
    if not section.enabled:
        return True
    return has_control_results(connection, policy_id, protocol, section.first_answers, control_request(section))
