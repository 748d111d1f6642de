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
from engine.prompts.rollout import PROMPT_VERSION, Message, prompt_hash
from engine.rollout.plan import attempt_prompt, correction_prompt, reflection_prompt, retry_prompt
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
        messages = _messages(connection, row)
    same = row.prompt_version == PROMPT_VERSION and prompt_hash(messages) == row.prompt_hash
    return {"messages": messages, "version": row.prompt_version, "hash": row.prompt_hash, "matches": same}


def _messages(connection: sqlite3.Connection, row: StoredControl) -> list[Message]:
    before = get_attempt(connection, row.attempt_id)
    if before is None:
        raise EngineError(f"the first answer that text {row.id} of the controls corrects is gone")
    # Prompts may depend on the policy that is asked, and the first answer can be another policy's.
    plan = plan_of_answer(connection, row.iteration_id, row.protocol, replace(before, policy_id=row.policy_id))
    question, answer = row.question_id, before.reasoning
    if row.arm == "judgement":
        return judgement_messages(plan.problems[question], answer)
    if row.arm == "reflection":
        return reflection_prompt(plan, question, answer, GENERAL_KEY[0])
    if row.arm == "other-answer":
        return attempt_prompt(plan, question)
    if row.arm == "none":
        return retry_prompt(plan, question, answer)
    return correction_prompt(plan, question, answer, _shown(connection, row))


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
