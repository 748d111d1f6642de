"""Novel reflections: those unlike every worked example and every reflection of the previous iteration.

Novelty is 1 less the similarity to the nearest of them on the same task. Similarity is the Jaccard similarity of word
3-grams, as for near-duplicates, and of character 4-grams for reflections of fewer than eight words, of which a single
changed word would change most 3-grams. Pure; independent of the database.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from engine.curation.grounding import Reflected
from engine.curation.seeded_sample import SAMPLE, drawn, measured_sample
from engine.curation.similarity import grams, jaccard
from engine.curation.task_shares import Shares, TaskShare
from engine.tasks.base import normalised

NOVEL = 0.5
"""Minimum novelty of a novel reflection: at most half of its grams are shared with its nearest neighbour."""

NEIGHBOURS = 200
"""Maximum number of reflections of the previous iteration, per task, among which the nearest one is sought."""

_SHORT = 8
_CHARACTERS = 4


@dataclass(frozen=True, slots=True)
class Novelty:
    """The novelty of a sample of reflections."""

    shares: Shares
    """Novel reflections by task."""
    mean: float | None
    """Mean novelty, from 0 to 1; None if nothing was measured."""


def novelty(
    reflections: Mapping[int, Reflected],
    previous: Mapping[int, Reflected],
    examples: Mapping[str, Sequence[str]],
    seed: int,
    most: int = SAMPLE,
) -> Novelty:
    """Measure the novelty of at most `most` reflections drawn by seed.

    Args:
        reflections: reflection id → reflection, all of one iteration.
        previous: those of the iteration before; empty for the first.
        examples: task → reflections of its worked examples.
        seed: the seed of the samples.
        most: maximum number of measured reflections over all tasks.

    Reflections on a task with neither worked examples nor earlier reflections aren't measured.
    """
    chosen = {task: drawn(numbers, "novel", seed, NEIGHBOURS) for task, numbers in _by_task(previous).items()}
    near = {
        task: [*examples.get(task, ()), *(previous[number].text for number in chosen.get(task, ()))]
        for task in {one.task for one in reflections.values()}
        if examples.get(task) or chosen.get(task)
    }
    words, characters = lru_cache(maxsize=None)(grams), lru_cache(maxsize=None)(character_grams)
    values: dict[str, list[float]] = defaultdict(list)
    questions: dict[str, set[int]] = defaultdict(set)
    for number in measured_sample(reflections, seed, most):
        one = reflections[number]
        if one.task not in near:
            continue
        unit = words if len(one.text.split()) >= _SHORT else characters
        values[one.task].append(distance(one.text, near[one.task], unit))
        questions[one.task].add(one.question_id)
    shares = {
        task: TaskShare(sum(value >= NOVEL for value in found), len(found), len(questions[task]))
        for task, found in sorted(values.items())
    }
    every = [value for found in values.values() for value in found]
    return Novelty(shares, math.fsum(every) / len(every) if every else None)


def matched(
    one: Mapping[int, Reflected], other: Mapping[int, Reflected], seed: int
) -> tuple[dict[int, Reflected], dict[int, Reflected]]:
    """Draw equally many reflections per task from two iterations.

    A nearest neighbour among more texts is nearer, so that two iterations compare only with equally many neighbours.
    """
    first, second = _by_task(one), _by_task(other)
    sizes = {task: min(len(first[task]), len(second[task])) for task in sorted(first.keys() & second.keys())}

    def draw(reflections: Mapping[int, Reflected], by_task: Mapping[str, list[int]]) -> dict[int, Reflected]:
        numbers = chain.from_iterable(drawn(by_task[task], "novel", seed, size) for task, size in sizes.items())
        return {number: reflections[number] for number in numbers}

    return draw(one, first), draw(other, second)


def _by_task(reflections: Mapping[int, Reflected]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for number, one in reflections.items():
        found[one.task].append(number)
    return found


def distance(text: str, neighbours: Sequence[str], unit: Callable[[str], frozenset[str]] | None = None) -> float:
    """Return 1 less the largest Jaccard similarity to a neighbour: 1 without neighbours, 0 for an empty text."""
    taken = unit or (grams if len(text.split()) >= _SHORT else character_grams)
    own = taken(text)
    return 1 - max((jaccard(own, taken(other)) for other in neighbours), default=0.0) if own else 0.0


def character_grams(text: str) -> frozenset[str]:
    """Return the distinct character 4-grams of a text, ignoring case and spacing; a shorter text is a single gram."""
    plain = normalised(text)
    if len(plain) <= _CHARACTERS:
        return frozenset({plain} - {""})
    return frozenset(plain[start : start + _CHARACTERS] for start in range(len(plain) - _CHARACTERS + 1))
