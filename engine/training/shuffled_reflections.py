"""Assigns to each row of a set the reflection of another row, on another question: what a shuffled stage shows.

A seeded derangement within the task, so that form, length and task of the reflections stay and only their relation to
the question is lost (permutation control; the arm `shuffled` of evaluation does the same). Pure.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from engine.errors import TrainingRefused
from store.curation.trained_rows import ReflectedRow


def shuffled_reflections(rows: Iterable[ReflectedRow], seed: int) -> Mapping[int, int]:
    """Return the id of the reflection shown to each row, by row; never one on the row's own question.

    Within a task, every reflection is shown once where no question has more than half of the rows. A row for which the
    task has no reflection on another question left is shown one from the rest of the set, which may then occur twice.

    Raises:
        TrainingRefused: all rows belong to one question.
    """
    by_task: defaultdict[str, list[ReflectedRow]] = defaultdict(list)
    listed = sorted(rows, key=lambda row: row.id)
    for row in listed:
        by_task[row.task].append(row)
    shown: dict[int, int] = {}
    for task in sorted(by_task):
        ordered = _by_question(by_task[task], seed)
        # Rotated by the size of the largest group, no row stays within its group unless that has more than half.
        step = max(Counter(row.question_id for row in ordered).values())
        rotated = [*ordered[step % len(ordered) :], *ordered[: step % len(ordered)]]
        for row, other in zip(ordered, rotated, strict=True):
            if row.question_id != other.question_id:
                shown[row.id] = other.reflection_id
    for row in listed:
        if row.id not in shown:
            shown[row.id] = _elsewhere(row, by_task[row.task], listed, seed)
    return shown


def _elsewhere(row: ReflectedRow, own_task: Sequence[ReflectedRow], every: Sequence[ReflectedRow], seed: int) -> int:
    """Return a reflection on another question: of the task where it has one, otherwise of any task."""
    for pool in (own_task, every):
        others = [one for one in pool if one.question_id != row.question_id]
        if others:
            return min(others, key=lambda one: _tie(seed, f"{row.id}|{one.id}")).reflection_id
    raise TrainingRefused(
        "the rows to train on are reflections on a single question, so none can be shown a reflection on another one. "
        "Generate more, or choose another training.setting."
    )


def _by_question(rows: Sequence[ReflectedRow], seed: int) -> list[ReflectedRow]:
    """Return the rows grouped by question, in a seeded order."""
    return sorted(
        rows, key=lambda row: (_tie(seed, f"question {row.question_id}"), row.question_id, _tie(seed, f"row {row.id}"))
    )


def _tie(seed: int, what: str) -> str:
    return hashlib.sha256(f"shuffled reflections|{seed}|{what}".encode()).hexdigest()
