"""Reflections on one attempt, and the pairs that curation forms of them."""

from __future__ import annotations

from typing import Any

from engine.curation.candidates import Candidate
from store.curation.curated import NewCurated
from store.settings import CurationSection
from tests.support.candidates import candidate

BY_LIFT = CurationSection(pairs_by="lift")


def tried(number: int, verdict: str = "correct", instruction: str = "1-1-1", **changes: Any) -> Candidate:
    """A reflection on the attempt of question 1."""
    changes = {"question_id": 1, "correction_verdict": verdict, "instruction": instruction, **changes}
    return candidate(number, **changes)


def lifted(number: int, lift: float | None, instruction: str = "1-1-1", draws: int = 4, **changes: Any) -> Candidate:
    """A reflection on the attempt of question 1 with a lift; its first correction is wrong."""
    return tried(number, "incorrect", instruction, lift=lift, lift_draws=draws, **changes)


def paired(rows: tuple[NewCurated, ...]) -> list[tuple[int, int]]:
    """The chosen and rejected reflection of each included pair."""
    return [(row.reflection_id, row.rejected_reflection_id or 0) for row in rows if row.included]


def left_out(rows: tuple[NewCurated, ...]) -> dict[int, str]:
    """The reasons of reflections in no pair."""
    return {row.reflection_id: row.reason for row in rows if not row.included}
