"""Renders the prompt of a stored text of the controls again from its inputs, and verifies it by its hash.

The stored texts that it showed are enough: no reference answer is looked up, not even for the arm `told`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from engine.commands.render_prompt import plan_of_answer
from engine.errors import EngineError
from engine.evaluation.protocol import GENERAL_KEY
from engine.prompts.control_prompts import judgement_messages
from engine.prompts.rollout import VERSIONS, Message, prompt_hash
from engine.rollout.plan_prompts import attempt_prompt, correction_prompt, feedback_on, reflection_prompt, retry_prompt
from store.database.connection import reading
from store.rollouts.attempts import get_attempt, get_reflection
from store.rollouts.control_texts import StoredControl, get_control
from store.workspace import Workspace


def rerender_control(workspace: Workspace, control_id: int) -> dict[str, object]:
    """Render the messages that one stored text of the controls was generated from.

    Returns:
        `messages`, the stored `version` and `hash`, and `matches`: whether the messages rendered now have that hash.

    Raises:
        EngineError: there is no such text, or what it showed is gone.
    """
    with reading(workspace.require().database) as connection:
        row = get_control(connection, control_id)
        if row is None:
            raise EngineError(f"there is no text {control_id} of the controls in this workspace")
        forms = _forms(connection, row)
    messages = next((form for form in forms if prompt_hash(form) == row.prompt_hash), forms[0])
    same = row.prompt_version in VERSIONS and prompt_hash(messages) == row.prompt_hash
    return {"messages": messages, "version": row.prompt_version, "hash": row.prompt_hash, "matches": same}


def _forms(connection: sqlite3.Connection, row: StoredControl) -> list[list[Message]]:
    """Return the prompts that a text may have been generated from: of a policy that is asked in two prompts, and of one
    that reflects and corrects in one reply. The stored hash tells which."""
    before = get_attempt(connection, row.attempt_id)
    if before is None:
        raise EngineError(f"the first answer that text {row.id} of the controls corrects is gone")
    plan = plan_of_answer(connection, row.iteration_id, row.protocol, before)
    question, answer, version = row.question_id, before.reasoning, row.prompt_version
    if row.arm == "judgement":
        return [judgement_messages(plan.problems[question], answer)]
    if row.arm == "other-answer":
        return [attempt_prompt(plan, question)]
    said, instruction = feedback_on(plan.detailed_kinds, plan.questions[0].task, before), GENERAL_KEY[0]
    if row.arm == "none":
        return [retry_prompt(plan, question, answer, said, version)]
    plans = [plan, replace(plan, one_generation=True)]
    if row.arm == "reflection":
        return [reflection_prompt(one, question, answer, instruction, said, version) for one in plans]
    shown = _shown(connection, row)
    return [correction_prompt(one, question, answer, shown, instruction, said, version) for one in plans]


def _shown(connection: sqlite3.Connection, row: StoredControl) -> str:
    """Return the text that stood in place of the reflection."""
    if row.shown is not None:
        return row.shown
    reflection = None if row.reflection_id is None else get_reflection(connection, row.reflection_id)
    if reflection is not None:
        return reflection.text
    control = None if row.shown_id is None else get_control(connection, row.shown_id)
    if control is None:
        raise EngineError(f"the reflection that text {row.id} of the controls showed is gone")
    return control.text
