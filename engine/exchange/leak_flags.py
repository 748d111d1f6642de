"""Which imported reflections give the answer away: by their own words, or because their prompt holds the target.

Published rows were rendered again after the step, so that the text to be learnt stands inside the prompt that asks for
it (5 of 5 sample rows of D+). Pure; what a reflection may not say is decided in `engine.curation`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.curation.answer_leak import leak

IN_PROMPT = "prompt"
IN_REFLECTION = "reflection"

_SHORTEST_TARGET = 20
"""In characters; a shorter completion stands in a prompt by chance."""


def prompt_leak(prompts: Iterable[str], targets: Iterable[str]) -> bool:
    """Whether a prompt holds, word for word, a text that is to be learnt as its completion."""
    wanted = [bare for target in targets if len(bare := target.strip()) >= _SHORTEST_TARGET]
    return any(bare in prompt for prompt in prompts for bare in wanted)


def step_leak(asked: Sequence[str], solved: Sequence[str], *, reflection: str, correction: str) -> bool:
    """Whether the prompts of one step hold what they ask for.

    Args:
        asked: prompts of the reflection, which may hold neither the reflection nor the correction.
        solved: prompts of the attempts; the second one holds the reflection, and may not hold the correction.
        reflection: the reflection.
        correction: the corrected attempt.
    """
    return prompt_leak(solved, [correction]) or prompt_leak(asked, [reflection, correction])


def reflection_leak(reflection: str, *, reference: str, question: str, attempt: str) -> bool:
    """Whether a reflection states the reference answer."""
    return leak(reflection, reference=reference, question_text=question, attempt_text=attempt) is not None
