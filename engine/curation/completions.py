"""The rule for answers that are training targets: corrections in D+, and rehearsed and distilled first attempts.

Training on an answer that was cut at its length limit, that repeats itself, or that goes on with the wording of its
prompt teaches the policy to run on. One rule serves all callers. Pure; independent of verdicts, reviews and sets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.curation.word_grams import repeated_share, word_grams
from engine.prompts.rollout import Message, Problem, attempt_messages, correction_messages
from engine.tasks.answers.extraction import lettered_options
from engine.tasks.base import normalised
from store.settings import CurationSection, PreviousAttempt

CUT = "answer truncated"
REPEATING = "answer repetition"
ECHOING = "answer echoes the prompt"

REASONS = (CUT, REPEATING, ECHOING)
"""The reasons that `unfit_answer` gives, in the order in which they are checked."""

_SHORTEST_SENTENCE = 5
"""Minimum length, in words, of a sentence of the prompt whose repetition is an echo."""

_SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n+")


def unfit_answer(text: str, finish_reason: str, request: str, settings: CurationSection) -> str | None:
    """Return why an answer must not be trained on, or None.

    Args:
        text: the complete answer.
        finish_reason: why its generation ended; `length` if it was cut.
        request: the wording of its prompt, from `correction_wording` or `attempt_wording`.
        settings: `max_repetition` and `max_echo` apply as they do to reflections.
    """
    if finish_reason == "length":
        return CUT
    if repeated_share(text) > settings.max_repetition:
        return REPEATING
    return ECHOING if settings.max_echo < 1 and _echoes(text, request, settings.max_echo) else None


def correction_wording(problem: Problem, reflection: str, *, show_previous_attempt: PreviousAttempt) -> str:
    """Return the wording of a correction's prompt: its question, reflection and requests, without the attempt.

    Options of the question are left out, because an answer may quote them, as it may quote right steps of the attempt.
    """
    asked = correction_messages(_without_options(problem), "", reflection, show_previous_attempt=show_previous_attempt)
    return _wording(asked)


def attempt_wording(problem: Problem) -> str:
    """Return the wording of a first attempt's prompt: its question without options, and its requests."""
    return _wording(attempt_messages(_without_options(problem)))


def _without_options(problem: Problem) -> Problem:
    options = lettered_options(problem.question)
    lines = problem.question.split("\n")
    kept = [line for line in lines if not any(line.strip().endswith(option) for option in options.values())]
    return Problem("\n".join(kept), problem.format_instruction)


def _wording(messages: Sequence[Message]) -> str:
    return "\n".join(message["content"] for message in messages if message["role"] == "user")


def _echoes(text: str, request: str, most: float) -> bool:
    """Check whether more than a share of the distinct 3-grams are the request's, or a sentence of it is repeated after
    the first line."""
    own = set(word_grams(text))
    if own and len(own & set(word_grams(request))) / len(own) > most:
        return True
    # A reply may begin by restating the question; one that continues with the prompt after its answer runs on.
    rest = normalised(text.partition("\n")[2])
    sentences = (normalised(sentence) for sentence in _SENTENCE.split(request))
    return any(len(one.split()) >= _SHORTEST_SENTENCE and one in rest for one in sentences)
