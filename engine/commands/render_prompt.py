"""Renders the prompt of a stored attempt or reflection again from its inputs, and verifies it by its hash."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import TypeVar

from engine.errors import EngineError
from engine.evaluation.protocol import feedback_of
from engine.exchange.published_prompts import published_prompt
from engine.prompts.rollout import VERSIONS, Message, prompt_hash
from engine.rollout.load_plan import detailed_kinds, pool_of, problems_of, settings_of
from engine.rollout.plan import RolloutPlan
from engine.rollout.plan_prompts import attempt_prompt, correction_prompt, feedback_on, reflection_prompt, retry_prompt
from store.database.connection import reading
from store.exchange.imports import IMPORTED_VERSION
from store.records import StoredAttempt, StoredReflection
from store.rollouts.attempts import get_attempt, get_reflection
from store.runs.iterations import get_iteration
from store.runs.runs import get_question
from store.workspace import Workspace


def rerender(workspace: Workspace, *, attempt_id: int | None, reflection_id: int | None) -> dict[str, object]:
    """Render the messages that one stored text was generated from.

    Returns:
        `messages`, the stored `version` and `hash`, and `matches`: whether the messages rendered now have that hash.

    Raises:
        EngineError: there is no such row, or it was stored without an iteration.
    """
    with reading(workspace.require().database) as connection:
        reflection = None if reflection_id is None else get_reflection(connection, reflection_id)
        attempt = None if attempt_id is None else get_attempt(connection, attempt_id)
        row = reflection or attempt
        on = attempt if reflection is None else get_attempt(connection, reflection.attempt_id)
        if row is None or on is None:
            raise EngineError("there is no such attempt or reflection in this workspace")
        if row.iteration_id is None:
            raise EngineError("it was stored without an iteration, so the settings of its prompt are not known")
        if row.prompt_version == IMPORTED_VERSION:
            return published_prompt(connection, row)
        plan = plan_of_answer(connection, row.iteration_id, row.protocol, on)
        forms = _forms(connection, plan, attempt, reflection, row.prompt_version)
    messages = next((form for form in forms if prompt_hash(form) == row.prompt_hash), forms[0])
    same = row.prompt_version in VERSIONS and prompt_hash(messages) == row.prompt_hash
    return {"messages": messages, "version": row.prompt_version, "hash": row.prompt_hash, "matches": same}


def _forms(
    connection: sqlite3.Connection,
    plan: RolloutPlan,
    attempt: StoredAttempt | None,
    reflection: StoredReflection | None,
    version: str,
) -> list[list[Message]]:
    """Return the prompts that a text may have been generated from, the usual one first.

    A reflection was asked for alone, or together with its correction; a correction in a prompt of its own, in that of
    its reflection, or as the continuation of that reply. The stored hash tells which.
    """
    one_reply = replace(plan, one_generation=True)
    if reflection is not None:
        on = _found(get_attempt(connection, reflection.attempt_id))
        said = feedback_on(plan.detailed_kinds, plan.questions[0].task, on)
        asked = (on.question_id, on.reasoning, reflection.instruction, said, version)
        return [reflection_prompt(plan, *asked), reflection_prompt(one_reply, *asked)]
    attempt = _found(attempt)
    if attempt.turn == 1:
        return [attempt_prompt(plan, attempt.question_id)]
    if attempt.reflection_id is None:
        before = _found(get_attempt(connection, attempt.id, first_turn=True))
        said = feedback_on(plan.detailed_kinds, plan.questions[0].task, before)
        return [retry_prompt(plan, attempt.question_id, before.reasoning, said, version)]
    used = _found(get_reflection(connection, attempt.reflection_id))
    before = _found(get_attempt(connection, used.attempt_id))
    said = feedback_on(plan.detailed_kinds, plan.questions[0].task, before)
    asked = (attempt.question_id, before.reasoning, used.instruction, said, version)
    used_in = (attempt.question_id, before.reasoning, used.text, used.instruction, said, version)
    return [
        correction_prompt(plan, *used_in),
        reflection_prompt(one_reply, *asked),
        correction_prompt(one_reply, *used_in),
    ]


Stored = TypeVar("Stored")


def _found(row: Stored | None) -> Stored:
    """Return a row that a stored row references, which must exist."""
    assert row is not None
    return row


def plan_of_answer(
    connection: sqlite3.Connection, iteration_id: int, protocol: str, answer: StoredAttempt
) -> RolloutPlan:
    """Build the part of an attempt's plan that its prompts depend on, for its question only.

    Whether an oracle gave feedback is taken from the protocol's name, as the settings may name another one by now.
    """
    iteration = get_iteration(connection, iteration_id)
    settings = settings_of(iteration)
    question = get_question(connection, answer.question_id)
    return RolloutPlan(
        iteration_id=iteration.id,
        iteration_number=iteration.number,
        policy_id=answer.policy_id,
        reflector_id=answer.policy_id,
        protocol=protocol,
        questions=(question,),
        problems=problems_of(connection, iteration.run_id, settings, [question]),
        draws={},
        attempt=settings.attempt,
        reflection=settings.reflection,
        correction=settings.correction,
        reflect_on_all=feedback_of(protocol) == "oracle-free" if protocol else settings.reflection.on == "all",
        stages=frozenset(),
        seed=settings.seed,
        pool=pool_of(connection, iteration.run_id),
        detailed_kinds=detailed_kinds(settings),
    )
