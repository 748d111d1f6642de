"""Finds prompts that state what they ask for: an example like that teaches copying, not reflecting.

Published training rows of the method carry their target in the prompt (rows rebuilt after the step); a prompt built
before generation can't, and this is the check that it didn't. Curation, training and exchange all ask `states_target`.
Pure; knows nothing of tokens, databases or models.
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
)
from engine.tasks.base import normalised
from store.settings import PreviousAttempt

STATES_TARGET = "the prompt states the completion"
NOTHING_TO_LEARN = "the completion is empty"
PROMPT_LEAK = "prompt states the answer"
"""The reason under which curation leaves such a row out."""

FEWEST_WORDS = 5
"""A shorter text, e.g. `Answer: 4`, stands in a prompt by chance."""

_FEWEST_WORDS_OF_THE_MODEL = 8
"""The same in a turn of the model: worked examples and a wrong first attempt are phrased as the right answer is."""


def states_target(prompt: str, target: str, *, fewest_words: int = FEWEST_WORDS) -> bool:
    """Whether a prompt contains a text that is to be learnt as its completion, without regard to case and spacing.

    The halves of a one-stage completion count on their own. A text counts when it has at least `fewest_words` words
    and stands in the prompt as whole words: "the sum is now 1" is not in "the sum is now 12".
    """
    wanted = [part for part in _parts(target) if len(part.split()) >= fewest_words]
    if not wanted:
        return False
    given = normalised(prompt)
    return any(_stands_in(part, given) for part in wanted)


def unfit_target(prompt: Sequence[Message], completion: Sequence[Message]) -> str | None:
    """Why a completion must not be learnt from this prompt, or None.

    A completion that is empty teaches nothing, and one that a turn of the prompt states was given away.
    """
    text = "\n".join(message["content"] for message in completion)
    if not _parts(text):
        return NOTHING_TO_LEARN
    for message in prompt:
        fewest = FEWEST_WORDS if message["role"] == "user" else _FEWEST_WORDS_OF_THE_MODEL
        if states_target(message["content"], text, fewest_words=fewest):
            return STATES_TARGET
    return None


def training_prompts(
    problem: Problem, attempt_text: str, instruction_text: str, *, show_previous_attempt: PreviousAttempt
) -> str:
    """The text of every prompt that a reflection on this attempt may be trained with, whatever the setting.

    Of the correction's prompt all but its request, which depends on the reflection: see `correction_request`.
    """
    prompts = (
        attempt_messages(problem),
        reflection_messages(problem, attempt_text, instruction_text),
        one_stage_messages(problem, attempt_text, instruction_text),
        correction_messages(problem, attempt_text, "", show_previous_attempt=show_previous_attempt)[:-1],
    )
    return "\n\n".join(dict.fromkeys(message["content"] for prompt in prompts for message in prompt))


def correction_request(
    problem: Problem, attempt_text: str, reflection_text: str, *, show_previous_attempt: PreviousAttempt
) -> str:
    """The last turn of the prompt of a correction, which holds the reflection."""
    messages = correction_messages(problem, attempt_text, reflection_text, show_previous_attempt=show_previous_attempt)
    return messages[-1]["content"]


def _parts(target: str) -> list[str]:
    return [part for part in (normalised(half) for half in target.split(SECOND_TRY)) if part]


def _stands_in(target: str, text: str) -> bool:
    """Whether `target` stands in `text` as whole words: "answer: 1" is not in "answer: 12" or "answer: 1.5"."""
    return target in text and re.search(rf"(?<!\w){re.escape(target)}(?!\w|[.,]\d)", text) is not None
