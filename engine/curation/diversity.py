"""Measures the diversity of an iteration's reflections and warns of a collapse.

A reflector that produces the same text for every attempt has collapsed, and training on its output makes that worse.
Two measures are computed on a bounded, seeded sample: the mean similarity of its pairs, and the share of distinct word
3-grams. Iterations are compared on samples of equal size, because both measures depend on the size. Independent of the
database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.curation.seeded_sample import SAMPLE, measured_sample
from engine.curation.similarity import mean_similarity
from engine.curation.word_grams import distinct_3

_RISE = 0.15
"""Increase of the mean similarity since the previous iteration that causes a warning even below the limit."""

LOSS = 0.7
"""Ratio to the previous iteration's share, of distinct 3-grams or of reflections, below which a warning is given."""

FEWEST = 10
"""Minimum number of reflections in a sample for a warning."""


@dataclass(frozen=True)
class Diversity:
    """The diversity of a sample of reflections."""

    similarity: float
    """Mean estimated Jaccard similarity of all pairs, from 0 to 1."""
    distinct_3: float
    """Distinct word 3-grams divided by all word 3-grams; 1 if none repeats."""
    sampled: int
    """Number of reflections in the sample."""


def diversity(texts: Mapping[int, str], seed: int, most: int = SAMPLE) -> Diversity:
    """Measure the diversity of reflections, given by id.

    Args:
        texts: reflection id → text.
        seed: the seed of the sample, which depends only on it and the ids.
        most: maximum size of the sample.
    """
    sample = [texts[number] for number in measured_sample(texts, seed, most)]
    return Diversity(round(mean_similarity(sample), 6), round(distinct_3(sample), 6), len(sample))


def collapse_warning(now: Diversity, limit: float, then: Diversity | None = None) -> str | None:
    """Return a warning if reflections are more similar than `limit`, or much more than in the previous iteration.

    Args:
        now: the diversity of this iteration.
        limit: the largest mean similarity without a warning (`curation.collapse_similarity`).
        then: the diversity of the previous iteration on a sample of the same size; None for the first iteration.
    """
    if now.sampled < FEWEST:
        return None
    signs: list[str] = []
    if now.similarity > limit:
        signs.append(f"their mean similarity is {now.similarity:.2f}, above {limit:g}")
    if then is not None and then.sampled >= FEWEST:
        if now.similarity - then.similarity > _RISE:
            signs.append(f"their mean similarity rose from {then.similarity:.2f} to {now.similarity:.2f}")
        if now.distinct_3 < LOSS * then.distinct_3:
            signs.append(f"different word 3-grams fell from {then.distinct_3:.0%} to {now.distinct_3:.0%}")
    if not signs:
        return None
    return (
        f"the reflections of this iteration are becoming alike: {joined(signs)} ({now.sampled} looked at). "
        "Draw more instructions, raise reflection.temperature, or start from an earlier policy"
    )


def joined(signs: Sequence[str]) -> str:
    """Join clauses to a list in words; there must be at least one."""
    return signs[0] if len(signs) == 1 else f"{', '.join(signs[:-1])} and {signs[-1]}"
