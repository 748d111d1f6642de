"""Leak flags of imported reflections: the text states the answer, or its prompt contains the target.

Published rows were rendered after generation, so that the text to be learnt is part of its own prompt (5 of 5 sample
rows of D+). Pure; the rule for the text of a reflection is in `engine.curation`.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.prompts.leakage import states_target
from engine.tasks.answers.stated_answer import states_reference

IN_PROMPT = "prompt"
IN_REFLECTION = "reflection"


def step_leak(asked: Sequence[str], solved: Sequence[str], *, reflection: str, correction: str) -> bool:
    """Check whether the prompts of a reflection or its correction contain their target.

    Args:
        asked: Prompts of the reflection, which must contain neither the reflection nor the correction.
        solved: Prompts of the attempts; the second one contains the reflection, and must not contain the correction.
        reflection: The reflection.
        correction: The corrected attempt.
    """
    return any(states_target(prompt, correction) for prompt in (*solved, *asked)) or any(
        states_target(prompt, reflection) for prompt in asked
    )


def reflection_leak(reflection: str, *, reference: str, question: str, attempt: str) -> bool:
    """Check whether a reflection states the reference answer."""
    return states_reference(reflection, reference=reference, question_text=question, attempt_text=attempt)
