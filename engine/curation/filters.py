"""Why a reflection is no training example: one pure filter per reason, each gives the reason or None.

What gives the answer away stands in `leaks`, what repeats another reflection in `similarity`. Knows nothing of sets,
caps or verdicts.
"""

from __future__ import annotations

from engine.curation.answer_leak import leak
from engine.curation.language import language_of
from engine.curation.program_leak import Passes
from engine.curation.similarity import grams
from engine.tasks.base import normalised
from store.settings import CurationSection

TOO_SHORT = "too short"
TOO_LONG = "too long"
REPETITION = "repetition"
ECHO = "echo"
TRUNCATED = "truncated"
WRONG_LANGUAGE = "wrong language"
HUMAN_REJECT = "human reject"


def too_short(text: str, min_words: int) -> str | None:
    """`too short` for fewer than `min_words` words."""
    return TOO_SHORT if len(text.split()) < min_words else None


def too_long(text: str, max_words: int) -> str | None:
    """`too long` for more than `max_words` words."""
    return TOO_LONG if len(text.split()) > max_words else None


def repetition(text: str, max_share: float) -> str | None:
    """`repetition` when more than `max_share` of the word 3-grams repeat an earlier one."""
    return REPETITION if repeated_share(text) > max_share else None


def echo(text: str, request: str, max_share: float) -> str | None:
    """`echo` when more than `max_share` of the different word 3-grams stand in the request for the reflection.

    A small model often gives its instruction back. On SmolLM2-135M the share has two humps, below 0.3 and from 0.5 on
    (288 reflections: 41 % and 56 %), and echoes led to a right answer as often as the rest (22 and 19 %): they say
    nothing, and the correction does without them.
    """
    return ECHO if max_share < 1 and echoed_share(text, request) > max_share else None


def echoed_share(text: str, request: str) -> float:
    """The share of the different word 3-grams of a text that stand in the request too; 0 for an empty text."""
    own = grams(text)
    return len(own & grams(request)) / len(own) if own else 0.0


def truncated(finish_reason: str) -> str | None:
    """`truncated` when the generation ended at its length limit."""
    return TRUNCATED if finish_reason == "length" else None


def wrong_language(text: str, language: str | None) -> str | None:
    """`wrong language` when the text is certainly written in another one; None asks for no language."""
    if language is None:
        return None
    found = language_of(text)
    return WRONG_LANGUAGE if found not in (None, language) else None


def human_reject(review: str | None) -> str | None:
    """`human reject` when the newest review rejects. `accept` and `flag` give no reason."""
    return HUMAN_REJECT if review == "reject" else None


def repeated_share(text: str) -> float:
    """The share of word 3-grams that repeat an earlier one: 0 for fewer than four words, towards 1 for a loop."""
    words = normalised(text).split()
    grams = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def heuristic_reason(
    text: str,
    *,
    reference: str,
    question_text: str,
    attempt_text: str,
    finish_reason: str,
    settings: CurationSection,
    request_text: str = "",
    kind: str = "",
    passes: Passes | None = None,
) -> str | None:
    """The first reason among the filters that look at the text alone, or None: what a human `accept` overrules.

    Arguments as in `leak`; `finish_reason` is the generator's, `request_text` what the reflection was asked for with.
    """
    found = None
    if settings.drop_leaks:
        found = leak(
            text,
            reference=reference,
            question_text=question_text,
            attempt_text=attempt_text,
            kind=kind,
            passes=passes,
        )
    return (
        found
        or truncated(finish_reason)
        or too_short(text, settings.min_words)
        or too_long(text, settings.max_words)
        or repetition(text, settings.max_repetition)
        or echo(text, request_text, settings.max_echo)
        or wrong_language(text, settings.language)
    )
