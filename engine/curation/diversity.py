"""Whether the reflections of an iteration are becoming alike: a reflector that says the same of every attempt has
collapsed, and training on more of it makes it worse.

Two measures over a bounded, seeded sample: the mean similarity of its pairs, and the share of its word 3-grams that are
different. Compared with the iteration before on samples of equal size, because both depend on it. Knows nothing of
databases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.curation.similarity import distinct_3, mean_similarity

SAMPLE = 200
"""Most reflections looked at; 19,900 pairs."""

_RISE = 0.15
"""A mean similarity that grew by this much since the iteration before is worth a warning below the limit too."""

_LOSS = 0.7
"""And so is a share of different 3-grams that fell below this part of what it was."""

_FEWEST = 10
"""Fewer reflections say nothing about a trend."""


@dataclass(frozen=True)
class Diversity:
    """How alike a sample of reflections is."""

    similarity: float
    """Mean estimated Jaccard similarity of all pairs: 0 to 1."""
    distinct_3: float
    """Different word 3-grams over all of them: 1 when none repeats."""
    sampled: int
    """How many reflections were looked at."""


def diversity(texts: Mapping[int, str], seed: int, most: int = SAMPLE) -> Diversity:
    """Measure the reflections, given by id, on a sample of at most `most` that depends on ids and seed only."""
    ids = sorted(texts, key=lambda number: hashlib.sha256(f"diversity|{seed}|{number}".encode()).digest())[:most]
    sample = [texts[number] for number in ids]
    return Diversity(round(mean_similarity(sample), 6), round(distinct_3(sample), 6), len(sample))


def collapse_warning(now: Diversity, limit: float, then: Diversity | None = None) -> str | None:
    """A warning in words when reflections are more alike than `limit`, or clearly more than in the iteration before.

    Args:
        now: this iteration.
        limit: the largest mean similarity that is no warning (`curation.collapse_similarity`).
        then: the iteration before, measured on a sample of the same size; None for the first.
    """
    if now.sampled < _FEWEST:
        return None
    signs: list[str] = []
    if now.similarity > limit:
        signs.append(f"their mean similarity is {now.similarity:.2f}, above {limit:g}")
    if then is not None and then.sampled >= _FEWEST:
        if now.similarity - then.similarity > _RISE:
            signs.append(f"their mean similarity rose from {then.similarity:.2f} to {now.similarity:.2f}")
        if now.distinct_3 < _LOSS * then.distinct_3:
            signs.append(f"different word 3-grams fell from {then.distinct_3:.0%} to {now.distinct_3:.0%}")
    if not signs:
        return None
    return (
        f"the reflections of this iteration are becoming alike: {_joined(signs)} ({now.sampled} looked at). "
        "Draw more instructions, raise reflection.temperature, or start from an earlier policy"
    )


def _joined(signs: Sequence[str]) -> str:
    return signs[0] if len(signs) == 1 else f"{', '.join(signs[:-1])} and {signs[-1]}"
