"""The prompts of the controls: what stands in place of the reflection, and the question about the own answer.

Pure. `stated_answer` is the only function of the program that puts a reference answer into a text that a policy is
shown. The leak is the purpose of the arm `told`: whether the policy uses what stands there at all. Its texts are stored
in the table of the controls, which nothing that trains reads.

A change of the wording of the judgement raises `PROMPT_VERSION`; the other texts are stored as they were shown.
"""

from __future__ import annotations

import re

from engine.prompts.rollout import Message, Problem, attempt_messages

_GENERIC = (
    "The first try did not lead to the right answer, so it is worth working on this question again with more care. "
    "Read it slowly from the beginning, note what is given and what is asked for, and do not take anything for "
    "granted. Go through the work one step at a time, check each step before the next one, and look for a place where "
    "something was skipped or mixed up. When the end is reached, compare the result with what was asked, make sure "
    "that it fits, and write it in the form that is required."
)
"""Advice that is true of any wrong answer and contains nothing about this one."""

JUDGE = "Is this answer right? Reply with one word: yes or no."
_JUDGED = re.compile(r"[^a-z]*(yes|no)(?![a-z])", re.IGNORECASE)
_EMPTY = "(no answer)"


def generic_reflection(words: int) -> str:
    """Return the generic sentence with a number of words (at least 1); longer ones repeat it."""
    known = _GENERIC.split()
    chosen = [known[place % len(known)] for place in range(max(words, 1))]
    return " ".join(chosen).rstrip(".,") + "."


def stated_answer(reference: str) -> str:
    """Return the sentence that states a reference answer, for the arm `told` only.

    Raises:
        ValueError: if there is no reference answer to state.
    """
    answer = reference.strip()
    if not answer:
        raise ValueError("a question without a reference answer has none to state")
    return f"The answer is:\n{answer}" if "\n" in answer else f"The answer is {answer}."


def judgement_messages(problem: Problem, attempt_text: str) -> list[Message]:
    """Return the prompt of a policy's own judgement: its attempt, then the question whether it is right."""
    return [
        *attempt_messages(problem),
        {"role": "assistant", "content": attempt_text.strip() or _EMPTY},
        {"role": "user", "content": JUDGE},
    ]


def read_judgement(reply: str) -> str | None:
    """Return `yes` or `no` as the reply begins; None for anything else."""
    found = _JUDGED.match(reply)
    return found.group(1).lower() if found else None
