"""Curation candidates with default values: a reflection that passes every filter and led to a right answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.curation.candidates import Candidate


def candidate(number: int, **changes: Any) -> Candidate:
    """Return the candidate with that number; its attempt has the number of its question unless given."""
    base = Candidate(
        reflection_id=number,
        question_id=number,
        attempt_id=changes.get("question_id", number),
        task="sums",
        instruction="1-1-1",
        text=f"I added the second digit of number {number + 1000} twice, so I will write every digit down first.",
        correction_id=number + 100_000,
        correction_verdict="correct",
        reference="42",
        question_text="How much is it?",
        attempt_text="Answer: 41",
        finish_reason="stop",
        review=None,
    )
    return replace(base, **changes)
