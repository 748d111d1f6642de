"""Property tests of the training sets: every candidate is accounted for, pairs are valid, caps hold."""

from __future__ import annotations

import random
from collections import Counter
from itertools import combinations
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.curation.candidates import Candidate
from engine.curation.d_plus import d_plus
from engine.curation.d_pm import d_pm
from engine.curation.set_limits import share_level
from engine.curation.similarity import grams, jaccard
from engine.tasks.base import normalised
from store.settings import CurationSection
from tests.support.candidates import candidate


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 60), min_size=2),
    st.floats(0.01, 1.0, allow_nan=False),
)
def test_share_level_holds_and_is_the_highest(counts: dict[str, int], share: float) -> None:
    """No task exceeds its share, or all are level; and no row is dropped needlessly."""
    level = share_level(counts, share)
    bound = max(share, 1 / len(counts)) + 1e-6

    def holds(limit: int) -> bool:
        kept = [min(count, limit) for count in counts.values()]
        return max(kept) <= bound * sum(kept)

    assert level >= 1
    assert holds(level)
    assert level == max(counts.values()) or not holds(level + 1)


TEXTS = (
    *(f"I read part {letter} of the text too fast, and so I missed a condition." for letter in "abcdef"),
    "Nothing in my steps was checked before the last line was written down.",
    "The units were mixed up, so every later sum was off by a factor.",
    "NOTHING in my steps was  checked before the last line was written down.",
)
"""Some near-duplicates, two equal up to case and spacing. Two attempts, as of two rounds, share a question."""


CANDIDATES = st.lists(
    st.tuples(
        st.integers(0, 11),
        st.sampled_from(("correct", "incorrect", "unverified", None)),
        st.sampled_from(("1-1-1", "1-2-1", "2-8-2")),
        st.integers(0, len(TEXTS) - 1),
        st.sampled_from((None, None, None, "accept", "reject", "flag")),
        st.sampled_from(("stop", "stop", "length")),
    ),
    max_size=40,
).map(
    lambda rows: [
        candidate(
            number,
            question_id=attempt // 2,
            attempt_id=attempt,
            task=("letters", "sums", "words")[attempt // 2 % 3],
            correction_verdict=verdict,
            instruction=instruction,
            text=TEXTS[variant],
            review=review,
            finish_reason=finish,
        )
        for number, (attempt, verdict, instruction, variant, review, finish) in enumerate(rows)
    ]
)


LIMITS = st.builds(
    CurationSection,
    max_per_question=st.integers(1, 4),
    max_task_share=st.sampled_from((0.2, 0.5, 0.7, 1.0)),
    max_per_instruction=st.sampled_from((None, None, 1, 3)),
    max_per_task=st.sampled_from((None, None, 1, 2)),
    max_similarity=st.sampled_from((0.3, 0.9, 1.0)),
)


def within_caps(kept: list[Candidate], limits: CurationSection) -> bool:
    """Return whether the included rows of a set obey every cap of its settings."""

    def at_most(cap: int | None, counted: Counter[Any]) -> bool:
        return cap is None or all(count <= cap for count in counted.values())

    return (
        at_most(limits.max_per_question, Counter(one.question_id for one in kept))
        and at_most(limits.max_per_instruction, Counter(one.instruction for one in kept))
        and at_most(limits.max_per_task, Counter(one.task for one in kept))
    )


@given(CANDIDATES, LIMITS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_d_plus_accounts_for_every_candidate(
    rows: list[Candidate], limits: CurationSection, seed: int, shuffler: random.Random
) -> None:
    """One row per candidate, only right corrections included, caps obeyed, independent of the input order."""
    curated = d_plus(rows, limits, seed)
    assert sorted(row.reflection_id for row in curated) == [row.reflection_id for row in rows]
    assert all(row.reason and row.rejected_reflection_id is None for row in curated)
    by_id = {row.reflection_id: row for row in rows}
    kept = [by_id[row.reflection_id] for row in curated if row.included]
    assert all(row.correction_verdict == "correct" and row.review != "reject" for row in kept)
    assert within_caps(kept, limits)
    assert len({normalised(row.text) for row in kept}) == len(kept)
    for one, other in combinations(kept, 2):
        assert jaccard(grams(one.text), grams(other.text)) <= limits.max_similarity
    mixed = list(rows)
    shuffler.shuffle(mixed)
    assert d_plus(mixed, limits, seed) == curated


@given(CANDIDATES, LIMITS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_d_pm_pairs_right_over_wrong_of_one_attempt(
    rows: list[Candidate], limits: CurationSection, seed: int, shuffler: random.Random
) -> None:
    """Chosen led to a right answer, rejected to a wrong one, of the same attempt; everything else has a reason."""
    curated = d_pm(rows, limits, seed)
    by_id = {row.reflection_id: row for row in rows}
    pairs = [row for row in curated if row.rejected_reflection_id is not None]
    for row in pairs:
        chosen, rejected = by_id[row.reflection_id], by_id[row.rejected_reflection_id or 0]
        assert chosen.attempt_id == rejected.attempt_id
        assert (chosen.correction_verdict, rejected.correction_verdict) == ("correct", "incorrect")
        assert chosen.text != rejected.text
        assert chosen.review != "reject"
        assert rejected.review != "accept"
    assert len({(row.reflection_id, row.rejected_reflection_id) for row in pairs}) == len(pairs)
    assert within_caps([by_id[row.reflection_id] for row in pairs], limits)
    named = [row.reflection_id for row in curated] + [row.rejected_reflection_id for row in pairs]
    assert set(named) == set(by_id)
    alone = [row.reflection_id for row in curated if row.rejected_reflection_id is None]
    assert len(alone) == len(set(alone))
    assert all(not row.included and row.reason for row in curated if row.rejected_reflection_id is None)
    mixed = list(rows)
    shuffler.shuffle(mixed)
    assert d_pm(mixed, limits, seed) == curated
