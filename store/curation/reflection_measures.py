"""Measures of an iteration's reflections: diversity, grounding and novelty, as the curate stage stores them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from store.database.rows import finite_or_none
from store.evaluation.number_format import percent

_NAMES = {
    "reflection_similarity": "similarity",
    "distinct_3": "distinct_3",
    "grounded_share": "grounded",
    "novel_share": "novel",
    "mean_novelty": "novelty",
}
"""Name of each metric → field of `ReflectionMeasures`."""


@dataclass(frozen=True, slots=True)
class ReflectionMeasures:
    """Measures of a sample of an iteration's reflections, all from 0 to 1; None where nothing could be measured."""

    similarity: float | None
    """Mean Jaccard similarity of their pairs."""
    distinct_3: float | None
    """Share of distinct word 3-grams."""
    grounded: float | None
    """Share that name something specific to their question or attempt."""
    novel: float | None
    """Share that differ from the previous iteration's and the worked examples'."""
    novelty: float | None
    """Mean of 1 less the similarity to the nearest of these."""

    def stored(self) -> Mapping[str, float | None]:
        """Return the values by the names of their metrics."""
        return {name: getattr(self, field) for name, field in _NAMES.items()}


def reflection_measures(connection: sqlite3.Connection, run_id: int) -> dict[int, ReflectionMeasures]:
    """Return the measures of each curated training iteration of a run, by its number, in order."""
    found: dict[int, dict[str, float | None]] = {}
    for number, name, value in connection.execute(
        "SELECT i.number, m.name, m.value FROM iterations i JOIN metrics m ON m.iteration_id = i.id"
        " WHERE i.run_id = ? AND i.kind = 'training' AND m.stage = 'curate' AND m.step = 0 ORDER BY i.number",
        (run_id,),
    ):
        if name in _NAMES:
            found.setdefault(number, {})[_NAMES[name]] = finite_or_none(value)
    return {
        number: ReflectionMeasures(**{field: values.get(field) for field in _NAMES.values()})
        for number, values in found.items()
    }


HEAD = ("similarity", "distinct 3-grams", "grounded", "novel", "novelty")
"""Titles of the columns of `cells`."""


def cells(measures: ReflectionMeasures) -> tuple[str, ...]:
    """Format the measures, in the order of `HEAD`."""
    return (
        _number(measures.similarity),
        percent(measures.distinct_3, 0),
        percent(measures.grounded, 0),
        percent(measures.novel, 0),
        _number(measures.novelty),
    )


def measures_words(measures: ReflectionMeasures) -> str:
    """Format the measures in one line: `similarity 0.12 · distinct 3-grams 55 % · …`."""
    return " · ".join(f"{title} {cell}" for title, cell in zip(HEAD, cells(measures), strict=True))


def _number(value: float | None) -> str:
    return percent(None) if value is None else f"{value:.2f}"
