"""Which imported reflections give the answer away: by their own words, or because their prompt holds the target.

Published rows were rendered again after the step, so that the text to be learnt stands inside the prompt that asks for
it (5 of 5 sample rows of D+). Pure; what a reflection may not say is decided in `engine.curation`.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.prompts.leakage import states_target
from engine.tasks.answers.stated_answer import states_reference

IN_PROMPT = "prompt"
IN_REFLECTION = "reflection"


def step_leak(asked: Sequence[str], solved: Sequence[str], *, reflection: str, correction: str) -> bool:
    """Whether the prompts of one step hold what they ask for.

    Args:
        asked: prompts of the reflection, which may hold neither the reflection nor the correction.
        solved: prompts of the attempts; the second one holds the reflection, and may not hold the correction.
        reflection: the reflection.
        correction: the corrected attempt.
    """
    return any(states_target(prompt, correction) for prompt in (*solved, *asked)) or any(
        states_target(prompt, reflection) for prompt in asked
    )


def reflection_leak(reflection: str, *, reference: str, question: str, attempt: str) -> bool:
    """Whether a reflection states the reference answer."""
    return states_reference(reflection, reference=reference, question_text=question, attempt_text=attempt)
