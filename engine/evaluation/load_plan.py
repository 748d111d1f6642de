"""Reads the plan of a held-out evaluation from the store: its questions, prompts, weights and finished answers."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from engine.evaluation.answer_outcomes import Feedback
from engine.evaluation.held_out_questions import held_out_questions
from engine.evaluation.protocol import (
    deciding_feedback,
    evaluation_plan,
    feedbacks_of,
    protocol_name,
    sibling_protocol,
)
from engine.rollout.load_plan import Progressed, asked_in_one_generation, problems_of, reflector_of, settings_of
from engine.rollout.plan import Baselines, gather_done
from engine.rollout.reuse import Reusable, offer
from store.evaluation.repeat_noise import repeat_protocol
from store.rollouts import attempts
from store.runs.iterations import get_iteration
from store.runs.policies import get_policy


def held_out_plan(
    connection: sqlite3.Connection, iteration_id: int, policy_id: int, feedback: Feedback | None = None
) -> Progressed:
    """Load the plan of a policy over the held-out questions, under the iteration's evaluation settings.

    If both protocols are measured, it is the deciding one unless `feedback` names the other. First answers of the
    sibling protocol are reused: they don't depend on the feedback.
    """
    iteration = get_iteration(connection, iteration_id)
    settings = settings_of(iteration)
    questions = held_out_questions(connection, iteration, settings)
    feedback = feedback or deciding_feedback(settings)
    reflector_id = reflector_of(connection, iteration, settings, policy_id)
    sibling = sibling_protocol(protocol_name(settings, questions, feedback))
    plan = evaluation_plan(
        iteration_id=iteration.id,
        policy_id=policy_id,
        settings=settings,
        questions=questions,
        problems=problems_of(connection, iteration.run_id, settings, questions),
        feedback=feedback,
        reflector_id=reflector_id,
        one_generation=asked_in_one_generation(connection, policy_id, reflector_id),
        reusable=offer(attempts.evaluation_attempts(connection, policy_id, sibling)),
    )
    done = gather_done(
        attempts.evaluation_attempts(connection, policy_id, plan.protocol),
        attempts.evaluation_reflections(connection, policy_id, plan.protocol),
    )
    return Progressed(plan, done)


def repeat_plan(connection: sqlite3.Connection, iteration_id: int, policy_id: int) -> Progressed | None:
    """Load the plan that measures a base policy a second time under the deciding protocol; None if it isn't wanted.

    It has no baselines and reuses nothing. Its answers have a protocol of their own and enter no metric.
    """
    settings = settings_of(get_iteration(connection, iteration_id))
    if not settings.evaluation.repeat or get_policy(connection, policy_id).parent_id is not None:
        return None
    first = held_out_plan(connection, iteration_id, policy_id).plan
    plan = replace(first, protocol=repeat_protocol(first.protocol), baselines=Baselines(), reusable=Reusable())
    done = gather_done(
        attempts.evaluation_attempts(connection, policy_id, plan.protocol),
        attempts.evaluation_reflections(connection, policy_id, plan.protocol),
    )
    return Progressed(plan, done)


def generated_plans(connection: sqlite3.Connection, iteration_id: int, policy_id: int) -> list[Progressed]:
    """Load every plan that an iteration generates for a policy: those it measures, and the repetition if wanted."""
    repeat = repeat_plan(connection, iteration_id, policy_id)
    return [*held_out_plans(connection, iteration_id, policy_id), *([] if repeat is None else [repeat])]


def held_out_plans(connection: sqlite3.Connection, iteration_id: int, policy_id: int) -> list[Progressed]:
    """Load one plan for each protocol that the iteration measures, the deciding one first."""
    settings = settings_of(get_iteration(connection, iteration_id))
    return [held_out_plan(connection, iteration_id, policy_id, feedback) for feedback in feedbacks_of(settings)]
