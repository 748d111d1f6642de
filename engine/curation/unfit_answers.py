"""The rule for answers that are training targets: corrections in D+, and rehearsed and distilled first attempts.

Training on an answer that was cut at its length limit, that repeats itself, or that goes on with the wording of its
prompt teaches the policy to run on. One rule serves all callers. Pure; independent of verdicts, reviews and sets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.curation.word_grams import repeated_share, word_grams
from engine.prompts.rollout import Message, Problem, attempt_messages, correction_messages
from engine.tasks.answers.extraction import lettered_options
from engine.tasks.base import normalised
from store.curation.exclusion_reasons import ANSWER_ECHO, ANSWER_REPETITION, ANSWER_TRUNCATED
from store.settings import CurationSection, PreviousAttempt

_SHORTEST_SENTENCE = 5
"""Minimum length, in words, of a sentence of the prompt whose repetition is an echo."""

_FEWEST_GRAMS = 5
"""Minimum number of distinct 3-grams of an answer for the share in its prompt; shorter answers share some by chance."""

_ANSWERED = re.compile(r"^[ \t*#>_-]*answer\b[^\n]*\n", re.IGNORECASE | re.MULTILINE)
"""The line that states the answer, up to its end."""

_SENTENCE = re.compile(r"(?<=[.!?:])\s+|\n+")


@dataclass(frozen=True, slots=True)
class PromptWording:
    """The wording of a prompt that an answer may not go on with."""

    requests: str = ""
    """Instructions, and in a correction the reflection: no part of an answer."""
    question: str = ""
    """The question without its options. An answer may restate it on its way, but not after it has answered."""


NO_WORDING = PromptWording()
"""Where the prompt is unknown: nothing is an echo of it."""


def unfit_answer(text: str, finish_reason: str, wording: PromptWording, settings: CurationSection) -> str | None:
    """Return why an answer must not be trained on, one of `UNFIT_ANSWER`, or None.

    Args:
        text: the complete answer.
        finish_reason: why its generation ended; `length` if it was cut.
        wording: of its prompt, from `correction_wording` or `attempt_wording`.
        settings: `max_repetition` and `max_echo` apply as they do to reflections.
    """
    if finish_reason == "length":
        return ANSWER_TRUNCATED
    if repeated_share(text) > settings.max_repetition:
        return ANSWER_REPETITION
    return ANSWER_ECHO if settings.max_echo < 1 and _echoes(text, wording, settings.max_echo) else None


def correction_wording(
    problem: Problem,
    reflection: str,
    *,
    show_previous_attempt: PreviousAttempt,
    told_wrong: bool = True,
    detail: str = "",
) -> PromptWording:
    """Return the wording of a correction's prompt: its question, its requests and the reflection, not the attempt."""
    asked = correction_messages(
        _without_question(problem),
        "",
        reflection,
        show_previous_attempt=show_previous_attempt,
        told_wrong=told_wrong,
        detail=detail,
    )
    return PromptWording(_text(asked), _question(problem))


def attempt_wording(problem: Problem) -> PromptWording:
    """Return the wording of a first attempt's prompt: its question, and its requests."""
    return PromptWording(_text(attempt_messages(_without_question(problem))), _question(problem))


def _without_question(problem: Problem) -> Problem:
    return Problem("", problem.format_instruction)


def _question(problem: Problem) -> str:
    options = lettered_options(problem.question)
    lines = problem.question.split("\n")
    return "\n".join(line for line in lines if not any(line.strip().endswith(option) for option in options.values()))


def _text(messages: Sequence[Message]) -> str:
    return "\n".join(message["content"] for message in messages if message["role"] == "user")


def _echoes(text: str, wording: PromptWording, most: float) -> bool:
    """Check whether more than a share of the distinct 3-grams are the requests', whether a sentence of the requests is
    repeated after the first line, or one of the question after the answer."""
    own = set(word_grams(text))
    if len(own) >= _FEWEST_GRAMS and len(own & set(word_grams(wording.requests))) / len(own) > most:
        return True
    if _repeats(text.partition("\n")[2], wording.requests):
        return True
    answered = _ANSWERED.search(text)
    return answered is not None and _repeats(text[answered.end() :], wording.question)


def _repeats(text: str, wording: str) -> bool:
    rest = normalised(text)
    sentences = (normalised(sentence) for sentence in _SENTENCE.split(wording))
    return any(len(one.split()) >= _SHORTEST_SENTENCE and one in rest for one in sentences)
