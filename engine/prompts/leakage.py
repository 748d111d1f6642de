"""Detects prompts that state their target: such an example teaches copying, not reflecting.

Published training rows of the method contain their target in the prompt, because they were rendered after generation;
a prompt rendered before generation cannot, and this module verifies it. Curation, training and exchange share
`states_target`. Pure; independent of tokens, databases and models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.prompts.rollout import (
    SECOND_TRY,
    Message,
    Problem,
    attempt_messages,
    correction_messages,
    one_stage_messages,
    reflection_messages,
    retry_messages,
)
from engine.tasks.base import normalised
from store.settings import PreviousAttempt

STATES_TARGET = "the prompt states the completion"
NOTHING_TO_LEARN = "the completion is empty"
PROMPT_LEAK = "prompt states the answer"
"""Reason for which curation excludes such a row."""

FEWEST_WORDS = 5
"""Minimum length of a target, in words. A shorter text, e.g. `Answer: 4`, occurs in a prompt by chance."""

_FEWEST_WORDS_OF_THE_MODEL = 8
"""Minimum in assistant turns: worked examples and a wrong first attempt are phrased like the right answer."""


def states_target(prompt: str, target: str, *, fewest_words: int = FEWEST_WORDS) -> bool:
    """Check whether a prompt contains its target completion, ignoring case and spacing.

    The two parts of a one-stage completion are checked separately. A text matches when it has at least `fewest_words`
    words and occurs in the prompt as whole words: "the sum is now 1" is not in "the sum is now 12".
    """
    wanted = [part for part in _parts(target) if len(part.split()) >= fewest_words]
    if not wanted:
        return False
    given = normalised(prompt)
    return any(_stands_in(part, given) for part in wanted)


def without_text(prompt: str, text: str) -> str:
    """Return a prompt without a text that its target may repeat: a right attempt, which a correction gives again."""
    return prompt.replace(text.strip(), " ") if text.strip() else prompt


def unfit_target(prompt: Sequence[Message], completion: Sequence[Message], *, repeatable: str = "") -> str | None:
    """Return why a completion must not be learnt from this prompt, or None.

    Reasons are an empty completion, and one that a turn of the prompt states outside of `repeatable`, a text that the
    completion may repeat (see `without_text`).
    """
    text = "\n".join(message["content"] for message in completion)
    if not _parts(text):
        return NOTHING_TO_LEARN
    for message in prompt:
        fewest = FEWEST_WORDS if message["role"] == "user" else _FEWEST_WORDS_OF_THE_MODEL
        if states_target(without_text(message["content"], repeatable), text, fewest_words=fewest):
            return STATES_TARGET
    return None


def training_prompts(
    problem: Problem,
    attempt_text: str,
    instruction_text: str,
    *,
    show_previous_attempt: PreviousAttempt,
    told_wrong: bool = True,
    detail: str = "",
) -> str:
    """Return the text of all prompts that a reflection on this attempt may be trained with, in any setting.

    The correction's prompt is included without its request, which depends on the reflection: see `correction_request`.
    `told_wrong` and `detail` are those of the rollouts, see `engine.prompts.rollout.reflection_messages`.
    """
    asked = (problem, attempt_text, instruction_text)
    shown = show_previous_attempt
    prompts = (
        attempt_messages(problem),
        reflection_messages(*asked, told_wrong=told_wrong, detail=detail),
        one_stage_messages(*asked, told_wrong=told_wrong, detail=detail),
        retry_messages(problem, attempt_text, show_previous_attempt=shown, told_wrong=told_wrong, detail=detail),
        # The turns before the request say nothing on the verdict.
        correction_messages(problem, attempt_text, "", show_previous_attempt=shown)[:-1],
    )
    return "\n\n".join(dict.fromkeys(message["content"] for prompt in prompts for message in prompt))


def correction_request(
    problem: Problem,
    attempt_text: str,
    reflection_text: str,
    *,
    show_previous_attempt: PreviousAttempt,
    told_wrong: bool = True,
    detail: str = "",
) -> str:
    """Return the last turn of a correction's prompt, which contains the reflection.

    `told_wrong` and `detail` are those of `training_prompts`.
    """
    messages = correction_messages(
        problem,
        attempt_text,
        reflection_text,
        show_previous_attempt=show_previous_attempt,
        told_wrong=told_wrong,
        detail=detail,
    )
    return messages[-1]["content"]


def _parts(target: str) -> list[str]:
    return [part for part in (normalised(half) for half in target.split(SECOND_TRY)) if part]


def _stands_in(target: str, text: str) -> bool:
    """Check whether `target` occurs in `text` as whole words: "answer: 1" is not in "answer: 12" or "answer: 1.5"."""
    return target in text and re.search(rf"(?<!\w){re.escape(target)}(?!\w|[.,]\d)", text) is not None
