"""Instruction labels of published reflections: a key of the pool, or a stable label derived from the wording.

Records exported by this project name their key. Of the published wordings only the general one is in our pool; the
others combine several of its parts, so they get a label derived from the wording, never a key of the pool.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from engine.prompts.instructions import GENERAL

UNSTATED = "unstated"
"""Label of a reflection whose record states no instruction."""

_GENERAL_WORDING = "diagnose a possible reason for failure and devise a new, concise, high-level plan"
_LONGEST = 40


def instruction_label(stated: object, prompt: str | None = None, question: str = "", attempt: str = "") -> str:
    """Return the label of a reflection.

    Args:
        stated: Instruction that the record names, if any.
        prompt: Prompt of the reflection, where the record has it.
        question: Question in the prompt.
        attempt: Attempt in the prompt; the text around question and attempt is the wording.
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
