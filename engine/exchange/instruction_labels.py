"""Which instruction a published reflection was asked with: one of the pool's keys, or a label that stays the same.

A record of ours names its key. Of the published wordings only the general one is ours too; the others mix several
parts of the pool, so they get a label made of the wording itself, never a key that nobody gave them.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from engine.prompts.instructions import GENERAL

UNSTATED = "unstated"
"""The record doesn't say what it was asked."""

_GENERAL_WORDING = "diagnose a possible reason for failure and devise a new, concise, high-level plan"
_LONGEST = 40


def instruction_label(stated: object, prompt: str | None = None, question: str = "", attempt: str = "") -> str:
    """The label of a reflection.

    Args:
        stated: what the record names as its instruction, if it does.
        prompt: what the reflection was asked with, where the record has it.
        question: the question and
        attempt: the attempt inside the prompt; what stands around them is the wording.
    """
    if isinstance(stated, str) and stated.strip():
        return stated.strip()[:_LONGEST]
    if prompt is None:
        return UNSTATED
    begin, end = prompt.find(f"Question: {question}"), prompt.rfind(attempt)
    if begin < 0 or end < begin or not attempt:
        return UNSTATED
    return _label(prompt[:begin], prompt[end + len(attempt) :])


@lru_cache(maxsize=256)
def _label(before: str, after: str) -> str:
    words = " ".join(f"{before} {after}".split())
    if _GENERAL_WORDING in words.casefold():
        return GENERAL
    return f"published-{hashlib.sha256(words.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"
