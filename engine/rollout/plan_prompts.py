"""The prompts of a plan: which messages ask for each of its texts.

Pure, and rendered from stored texts only. A plan decides three things about a prompt: whether it reveals the verdict,
whether it adds the verifier's detail, and whether the policy reflects and corrects in one reply.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.prompts import instructions
from engine.prompts.rollout import (
    PROMPT_VERSION,
    Message,
    attempt_messages,
    correction_messages,
    one_stage_beginning,
    one_stage_messages,
    reflection_messages,
    retry_messages,
)
from engine.rollout.plan import RolloutPlan
from engine.tasks import task_type
from store.records import StoredAttempt
from store.rollouts.attempts import NewAttempt

Judged = StoredAttempt | NewAttempt
"""An attempt with its verdict, stored or about to be."""


def attempt_prompt(plan: RolloutPlan, question_id: int) -> list[Message]:
    """Return the messages of attempt 1."""
    return attempt_messages(plan.problems[question_id])


def feedback_on(kinds: Mapping[str, str], task: str, attempt: Judged) -> str:
    """Return what prompts on an attempt say besides the verdict; empty unless it is incorrect.

    Args:
        kinds: the kind of each task whose prompts contain details; see `RolloutPlan.detailed_kinds`.
        task: the task of the attempt's question.
        attempt: the attempt.
    """
    if attempt.verdict != "incorrect" or task not in kinds:
        return ""
    return task_type(kinds[task]).feedback(attempt.detail, attempt.score)


def reflection_prompt(
    plan: RolloutPlan,
    question_id: int,
    attempt_text: str,
    instruction: str,
    detail: str = "",
    version: str = PROMPT_VERSION,
) -> list[Message]:
    """Return the messages of a reflection on one attempt: attempt 1, or in later rounds the newest of its chain.

    With `one_generation` they ask for the correction too. `detail` is that of `feedback_on`.
    """
    ask = one_stage_messages if plan.one_generation else reflection_messages
    return ask(
        plan.problems[question_id],
        attempt_text,
        instructions.compose(instruction, plan.pool),
        told_wrong=plan.told_wrong,
        detail=detail,
        version=version,
    )


def correction_prompt(
    plan: RolloutPlan,
    question_id: int,
    attempt_text: str,
    reflection_text: str,
    instruction: str,
    detail: str = "",
    version: str = PROMPT_VERSION,
) -> list[Message]:
    """Return the messages of a correction, given one attempt and one reflection on it.

    With `one_generation` a correction comes in the reply of its reflection. Further ones, and that of a reflection that
    was stored without one, continue that reply: the last message is its beginning, up to the second try.
    """
    if plan.one_generation:
        asked = reflection_prompt(plan, question_id, attempt_text, instruction, detail, version)
        return [*asked, {"role": "assistant", "content": one_stage_beginning(reflection_text)}]
    return correction_messages(
        plan.problems[question_id],
        attempt_text,
        reflection_text,
        show_previous_attempt=plan.correction.show_previous_attempt,
        told_wrong=plan.told_wrong,
        detail=detail,
        version=version,
    )


def retry_prompt(
    plan: RolloutPlan, question_id: int, attempt_text: str, detail: str = "", version: str = PROMPT_VERSION
) -> list[Message]:
    """Return the messages of a second attempt without a reflection."""
    return retry_messages(
        plan.problems[question_id],
        attempt_text,
        show_previous_attempt=plan.correction.show_previous_attempt,
        told_wrong=plan.told_wrong,
        detail=detail,
        version=version,
    )
