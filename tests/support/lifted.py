"""Adds questions whose corrections were sampled, so that their reflections have lifts of every kind."""

from __future__ import annotations

from collections.abc import Sequence

from store.records import Verdict
from store.rollouts import attempts
from tests.support.rows import Rows

KINDS: Sequence[Verdict] = ("correct", "incorrect", "unverified")


def add_sampled(
    rows: Rows, text: str, with_reflection: Sequence[str], without: str, *, task: str = "quiz", flags: str = ""
) -> list[int]:
    """Add a wrong attempt at a new question, its reflections with their corrections, and tries without a reflection.

    Verdicts are written as one letter for each sample: `c`, `i` or `u`, e.g. `"cci"`. Returns the reflections.
    """
    question = rows.question(text, task=task)
    attempt = rows.attempt(question, "incorrect")
    made = []
    for number, verdicts in enumerate(with_reflection):
        reflection = rows.reflection(attempt, sample=number, text=f"thought {number} on {text}", flags=flags)
        corrections = [
            rows.attempt(question, _verdict(letter), turn=2, reflection=reflection, sample=sample)
            for sample, letter in enumerate(verdicts)
        ]
        attempts.finish_trajectory(rows.connection, attempt, reflection, corrections[0])
        made.append(reflection)
    for sample, letter in enumerate(without):
        rows.attempt(question, _verdict(letter), turn=2, sample=sample)
    return made


def _verdict(letter: str) -> Verdict:
    return next(kind for kind in KINDS if kind.startswith(letter))
