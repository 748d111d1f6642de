"""The caps of a training set: maximum numbers per question, instruction and task, and maximum similarity of texts.

A selection accepts items one after another and returns the reason for refusing one; an item that is refused once stays
refused. Independent of verdicts and filters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from engine.curation.candidates import INCLUDED, Candidate, tie
from engine.curation.similarity import NearDuplicates
from engine.tasks.base import normalised
from store.curation import exclusion_reasons
from store.settings import CurationSection

DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near duplicate"
OVER_QUESTION_CAP = exclusion_reasons.OVER_QUESTION_CAP
OVER_INSTRUCTION_CAP = exclusion_reasons.OVER_INSTRUCTION_CAP
OVER_TASK_CAP = exclusion_reasons.OVER_TASK_CAP
OVER_TASK_SHARE = exclusion_reasons.OVER_TASK_SHARE
OVER_RIGHT_ATTEMPTS = exclusion_reasons.OVER_RIGHT_ATTEMPTS
OVER_SET_SIZE = exclusion_reasons.OVER_SET_SIZE


class Selection:
    """The items of a set so far, subject to the caps of the settings."""

    def __init__(self, settings: CurationSection) -> None:
        self._settings = settings
        self._questions: Counter[int] = Counter()
        self._instructions: Counter[str] = Counter()
        self._tasks: Counter[str] = Counter()
        self._on_right: Counter[str] = Counter()
        self._texts: dict[str, dict[str, int]] = {}
        self._alike: dict[str, NearDuplicates] = {}
        self._repeats: dict[tuple[str, int], str] = {}

    def over_cap(self, one: Candidate) -> str | None:
        """Return which cap refuses a further item of this candidate's question, instruction or task, or None.

        Items on right attempts are balanced against those on wrong ones, so that a set offers the latter first: a task
        gets at most `max_right_per_wrong` items on right attempts per item on a wrong one.
        """
        settings = self._settings
        if one.on_right_attempt:
            on_right = self._on_right[one.task]
            if on_right + 1 > settings.max_right_per_wrong * (self._tasks[one.task] - on_right):
                return OVER_RIGHT_ATTEMPTS
        if settings.max_per_task is not None and self._tasks[one.task] >= settings.max_per_task:
            return OVER_TASK_CAP
        if (
            settings.max_per_instruction is not None
            and self._instructions[one.instruction] >= settings.max_per_instruction
        ):
            return OVER_INSTRUCTION_CAP
        return OVER_QUESTION_CAP if self._questions[one.question_id] >= settings.max_per_question else None

    def repeats(self, one: Candidate, side: str = "") -> str | None:
        """Return `duplicate` or `near duplicate` if this side of the set contains an equal or similar text, or None."""
        key = (side, one.reflection_id)
        if key not in self._repeats:
            found = self._repeat(one, side)
            if found is None:
                return None
            self._repeats[key] = found
        return self._repeats[key]

    def take(self, chosen: Candidate, *members: tuple[str, Candidate]) -> None:
        """Add an item to the set.

        Args:
            chosen: the reflection that the caps count.
            members: all reflections of the item, each with its side of the set; by default only `chosen`.
        """
        self._questions[chosen.question_id] += 1
        self._instructions[chosen.instruction] += 1
        self._tasks[chosen.task] += 1
        self._on_right[chosen.task] += chosen.on_right_attempt
        for side, one in members or (("", chosen),):
            self._texts.setdefault(side, {}).setdefault(normalised(one.text), one.reflection_id)
            self._near(side).add(one.reflection_id, one.text)

    def _repeat(self, one: Candidate, side: str) -> str | None:
        same = self._texts.get(side, {}).get(normalised(one.text), one.reflection_id)
        if same != one.reflection_id:
            return DUPLICATE
        if self._settings.max_similarity < 1 and self._near(side).like(one.text, but=one.reflection_id):
            return NEAR_DUPLICATE
        return None

    def _near(self, side: str) -> NearDuplicates:
        if side not in self._alike:
            self._alike[side] = NearDuplicates(self._settings.max_similarity)
        return self._alike[side]


def share_level(counts: Mapping[str, int], max_share: float) -> int:
    """Return the largest number of rows per task such that no task has more than `max_share` of all kept rows.

    A share below 1/n for n tasks can't be satisfied; all tasks are then reduced to the size of the smallest. With a
    single task the share has no effect.
    """
    level = max(counts.values(), default=0)
    if len(counts) < 2:
        return level
    share = max(Fraction(max_share).limit_denominator(1_000_000), Fraction(1, len(counts)))
    while level > share * sum(min(count, level) for count in counts.values()):
        level -= 1
    return level


def within_share(tasks: Sequence[str], max_share: float) -> tuple[set[int], str]:
    """Return the positions that are kept such that no task exceeds its share, and the reason of included rows."""
    counts = Counter(tasks)
    level = share_level(counts, max_share)
    kept: set[int] = set()
    used: Counter[str] = Counter()
    for position, task in enumerate(tasks):
        if used[task] < level:
            used[task] += 1
            kept.add(position)
    if max_share < 1 and len(counts) == 1:
        return kept, f"{INCLUDED}; there is only one task, so max_task_share does not apply"
    if len(counts) > 1 and max_share * len(counts) < 1:
        return (
            kept,
            f"{INCLUDED}; {len(counts)} tasks get equal shares, because max_task_share is below 1/{len(counts)}",
        )
    return kept, INCLUDED


def within_size(tasks: Sequence[str], positions: Iterable[int], maximum: int | None, seed: int) -> set[int]:
    """Return at most `maximum` of the positions; tasks take turns in a seeded order, and each gives its first ones.

    A smaller maximum keeps a subset of what a larger one keeps.

    Args:
        tasks: the task of each position.
        positions: those to choose from.
        maximum: the largest number to keep; None keeps all.
        seed: orders the tasks within a turn.
    """
    every = sorted(positions)
    if maximum is None:
        return set(every)
    turns: Counter[str] = Counter()
    ordered: list[tuple[int, str, int]] = []
    for position in every:
        task = tasks[position]
        ordered.append((turns[task], tie(seed, f"task {task}", 0), position))
        turns[task] += 1
    return {position for _, _, position in sorted(ordered)[:maximum]}
