"""Filters on the text of a reflection: a registry of pure functions, each with the reason that it records.

A filter receives the complete candidate and the settings, so that adding one takes only a function here and its
setting. Duplicates of other reflections are detected in `similarity`. Independent of sets, caps and verdicts.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.curation.candidates import Candidate
from engine.curation.language import language_of
from engine.curation.similarity import grams
from engine.curation.word_grams import repeated_share
from engine.prompts.leakage import PROMPT_LEAK, states_target
from engine.tasks import TASK_TYPES
from engine.tasks.answers.stated_answer import states_reference
from store.records import ReviewState
from store.registry import Registry
from store.settings import CurationSection

LEAK = "leak"
HUMAN_REJECT = "human reject"

Filter = Callable[[Candidate, CurationSection], bool]
"""Returns whether a candidate is excluded, based on its text, never on a verdict or a review."""


def states_its_answer(candidate: Candidate, settings: CurationSection) -> bool:
    """Exclude reflections that state the reference answer, by the rule of their kind of task."""
    if not settings.drop_leaks:
        return False
    text, reference = candidate.text, candidate.reference
    question, attempt = candidate.question_text, candidate.attempt_text
    task = TASK_TYPES.get(candidate.kind)
    if task is None:
        return states_reference(text, reference=reference, question_text=question, attempt_text=attempt)
    return task.states_answer(
        text, reference=reference, question_text=question, attempt_text=attempt, solves=candidate.solves
    )


def truncated(candidate: Candidate, settings: CurationSection) -> bool:
    """Exclude generations that ended at their length limit."""
    return candidate.finish_reason == "length"


def too_short(candidate: Candidate, settings: CurationSection) -> bool:
    """Exclude texts of fewer than `min_words` words."""
    return len(candidate.text.split()) < settings.min_words


def too_long(candidate: Candidate, settings: CurationSection) -> bool:
    """Exclude texts of more than `max_words` words."""
    return len(candidate.text.split()) > settings.max_words


def repetition(candidate: Candidate, settings: CurationSection) -> bool:
    """Exclude texts in which a share of more than `max_repetition` of the word 3-grams repeats an earlier one."""
    return repeated_share(candidate.text) > settings.max_repetition


def echo(candidate: Candidate, settings: CurationSection) -> bool:
    """Exclude texts in which a share of more than `max_echo` of the distinct word 3-grams occurs in the request.

    Small models often repeat their instruction. On SmolLM2-135M the distribution of the share is bimodal, below 0.3 and
    above 0.5 (41 % and 56 % of 288 reflections), and echoes led to a correct answer about as often as other reflections
    (22 % and 19 %): they carry no information, and the correction does not depend on them.
    """
    return settings.max_echo < 1 and echoed_share(candidate.text, candidate.request_text) > settings.max_echo


def echoed_share(text: str, request: str) -> float:
    """Return the share of the distinct word 3-grams of a text that also occur in the request; 0 for an empty text."""
    own = grams(text)
    return len(own & grams(request)) / len(own) if own else 0.0


def wrong_language(candidate: Candidate, settings: CurationSection) -> bool:
    """Exclude texts that are certainly not in `language`; if that is unset, every language is accepted."""
    if settings.language is None:
        return False
    return language_of(candidate.text) not in (None, settings.language)


FILTERS: Registry[Filter] = Registry(
    "filter",
    {
        LEAK: states_its_answer,
        "truncated": truncated,
        "too short": too_short,
        "too long": too_long,
        "repetition": repetition,
        "echo": echo,
        "wrong language": wrong_language,
    },
)
"""Every filter by the reason that it records, in the order of application; the first that applies counts."""


def register_filter(reason: str, drops: Filter) -> None:
    """Register a filter, applied after the others. Raises ValueError if a filter records that reason already."""
    FILTERS.register(reason, drops)


def text_reason(candidate: Candidate, settings: CurationSection) -> str | None:
    """Return why a text is excluded, or None; a human `accept` overrides all reasons but a prompt that states the
    text."""
    if states_target(candidate.prompt_text, candidate.text):
        return PROMPT_LEAK
    if candidate.review == "accept":
        return None
    return next((reason for reason, drops in FILTERS.items() if drops(candidate, settings)), None)


def human_reject(review: ReviewState | None) -> str | None:
    """Return `human reject` if the newest review rejects; None for `accept`, `flag` and no review."""
    return HUMAN_REJECT if review == "reject" else None
