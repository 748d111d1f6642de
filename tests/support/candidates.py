"""Candidates of curation with sensible values: a reflection that every filter lets through, led to a right answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.curation.candidates import Candidate


def candidate(number: int, **changes: Any) -> Candidate:
    """The candidate with that number; its attempt is numbered as its question where nothing else is said."""
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
