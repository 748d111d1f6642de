"""Why a reflection is no training example: a registry of pure filters, each with the reason it records.

A filter takes the whole candidate and the settings, so that a further one needs its function here and its setting, and
nothing in between. What repeats another reflection is found in `similarity`. Knows nothing of sets, caps or verdicts.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.curation.candidates import Candidate
from engine.curation.language import language_of
from engine.curation.similarity import grams, repeated_share
from engine.prompts.leakage import PROMPT_LEAK, states_target
from engine.tasks import TASK_TYPES
from engine.tasks.answers.stated_answer import states_reference
from store.registry import Registry
from store.settings import CurationSection

LEAK = "leak"
HUMAN_REJECT = "human reject"

Filter = Callable[[Candidate, CurationSection], bool]
"""Whether a candidate is left out; looks at its text alone, never at a verdict or a review."""


def states_its_answer(candidate: Candidate, settings: CurationSection) -> bool:
    """The reflection states the reference answer, by the rule of its kind of task."""
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
    """The generation ended at its length limit."""
    return candidate.finish_reason == "length"


def too_short(candidate: Candidate, settings: CurationSection) -> bool:
    """Fewer than `min_words` words."""
    return len(candidate.text.split()) < settings.min_words


def too_long(candidate: Candidate, settings: CurationSection) -> bool:
    """More than `max_words` words."""
    return len(candidate.text.split()) > settings.max_words


def repetition(candidate: Candidate, settings: CurationSection) -> bool:
    """More than `max_repetition` of the word 3-grams repeat an earlier one."""
    return repeated_share(candidate.text) > settings.max_repetition


def echo(candidate: Candidate, settings: CurationSection) -> bool:
    """More than `max_echo` of the different word 3-grams stand in the request for the reflection.

    A small model often gives its instruction back. On SmolLM2-135M the share has two humps, below 0.3 and from 0.5 on
    (288 reflections: 41 % and 56 %), and echoes led to a right answer as often as the rest (22 and 19 %): they say
    nothing, and the correction does without them.
    """
    return settings.max_echo < 1 and echoed_share(candidate.text, candidate.request_text) > settings.max_echo


def echoed_share(text: str, request: str) -> float:
    """The share of the different word 3-grams of a text that stand in the request too; 0 for an empty text."""
    own = grams(text)
    return len(own & grams(request)) / len(own) if own else 0.0


def wrong_language(candidate: Candidate, settings: CurationSection) -> bool:
    """Certainly written in another language than `language`; where that is unset, any language will do."""
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
"""Every filter by the reason that it records, in the order in which they are asked; the first that applies counts."""


def register_filter(reason: str, drops: Filter) -> None:
    """Add a filter, asked after the others. Raises ValueError when a filter records that reason already."""
    FILTERS.register(reason, drops)


def text_reason(candidate: Candidate, settings: CurationSection) -> str | None:
    """Why a text is no training example; a human `accept` overrules all but a prompt that contains the text."""
    if states_target(candidate.prompt_text, candidate.text):
        return PROMPT_LEAK
    if candidate.review == "accept":
        return None
    return next((reason for reason, drops in FILTERS.items() if drops(candidate, settings)), None)


def human_reject(review: str | None) -> str | None:
    """`human reject` when the newest review rejects. `accept` and `flag` give no reason."""
    return HUMAN_REJECT if review == "reject" else None
