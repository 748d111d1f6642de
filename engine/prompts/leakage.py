"""Finds prompts that state what they ask for: an example like that teaches copying, not reflecting.

Published training rows of the method carry their target in the prompt (rows rebuilt after the step); a prompt built
before generation can't, and this is the check that it didn't. Pure; knows nothing of tokens, databases or models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from engine.prompts.rollout import SECOND_TRY, Message
from engine.tasks.base import normalised

STATES_TARGET = "the prompt states the completion"
NOTHING_TO_LEARN = "the completion is empty"
_TELLING_WORDS = 8
"""A text of this many words doesn't stand in another by accident."""


def unfit_target(prompt: Sequence[Message], completion: Sequence[Message]) -> str | None:
    """Why a completion must not be learnt from this prompt, or None.

    A completion that is empty teaches nothing. One that stands in a user turn was given away; a long one was given
    away wherever it stands. A short one in an assistant turn is no leak: worked examples and a wrong first attempt
    may well say "Answer: 4". The two halves of a one-stage completion count on their own. Case and spacing don't.
    """
    text = "\n".join(message["content"] for message in completion)
    targets = [part for part in (normalised(half) for half in text.split(SECOND_TRY)) if part]
    if not targets:
        return NOTHING_TO_LEARN
    told = [normalised(message["content"]) for message in prompt if message["role"] == "user"]
    said = [normalised(message["content"]) for message in prompt if message["role"] != "user"]
    for target in targets:
        places = told + said if len(target.split()) >= _TELLING_WORDS else told
        if any(_stands_in(target, place) for place in places):
            return STATES_TARGET
    return None


def _stands_in(target: str, text: str) -> bool:
    """Whether `target` stands in `text` as whole words: "answer: 1" is not in "answer: 12" or "answer: 1.5"."""
    return target in text and re.search(rf"(?<!\w){re.escape(target)}(?!\w|[.,]\d)", text) is not None


PROMPT_LEAK = "prompt states the answer"


_SHORTEST_TELLING_TARGET = 5
"""In words: a shorter completion, e.g. `Answer: 4`, stands in a prompt by chance."""


def prompt_leak(prompt: str, targets: Iterable[str]) -> str | None:
    """`prompt states the answer` when a prompt contains a text that is to be learnt as its completion.

    Published D+ rows were rendered again after the step, with the corrected attempt inside their own prompt: training
    on them teaches to copy. `prompt` is the text of all its messages; a target of fewer than five words tells nothing.
    """
    given = normalised(prompt)
    for target in targets:
        wanted = normalised(target)
        if len(wanted.split()) >= _SHORTEST_TELLING_TARGET and wanted in given:
            return PROMPT_LEAK
    return None
