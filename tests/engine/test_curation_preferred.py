"""Tests of Dpref: pairs of two reflections that both led to a right answer, ranked by a preference, with a reason for
every excluded pair.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.curation.candidates import Candidate
from engine.curation.d_pref import d_pref, in_force
from engine.curation.similarity import grams, jaccard
from store.curation.curated import NewCurated
from store.curation.records import Preference
from store.settings import CurationSection, JudgeSection
from tests.engine.test_curation_properties import CANDIDATES, LIMITS, within_caps
from tests.support.candidates import candidate

SETTINGS = CurationSection()
JUDGE = JudgeSection()


def preference(
    number: int,
    chosen: int,
    rejected: int,
    source: Literal["judge", "human"] = "judge",
    confidence: float | None = 1.0,
    note: str = "",
) -> Preference:
    """A preference on a pair."""
    return Preference(number, chosen, rejected, source, confidence, "me", note, float(number))


def pairs(rows: tuple[NewCurated, ...]) -> dict[tuple[int, int], str]:
    """The pairs with their outcome."""
    return {
        (row.reflection_id, row.rejected_reflection_id): row.reason
        for row in rows
        if row.rejected_reflection_id is not None
    }


def two(**changes: Any) -> list[Candidate]:
    """Two reflections on one attempt that both led to a right answer."""
    return [candidate(1, question_id=1, **changes), candidate(2, question_id=1)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], {(1, 2): "not judged yet"}),
        ([preference(1, 2, 1)], {(2, 1): "included"}),
        ([preference(1, 1, 2), preference(2, 2, 1)], {(2, 1): "included"}),
        ([preference(1, 1, 2, "human"), preference(2, 2, 1)], {(1, 2): "included"}),
        ([preference(1, 1, 2, "human"), preference(2, 2, 1, "human")], {(2, 1): "included"}),
        ([preference(1, 1, 2, "human", None)], {(1, 2): "included"}),
        ([preference(1, 1, 2, confidence=0.4)], {(1, 2): "below judge.min_confidence"}),
        ([preference(1, 1, 2, confidence=0.0, note="judge inconsistent")], {(1, 2): "judge inconsistent"}),
        ([preference(1, 1, 2, confidence=0.0, note="judge undecided: why")], {(1, 2): "judge undecided"}),
        ([preference(1, 1, 2, "human", 0.0)], {(1, 2): "human undecided"}),
        ([preference(1, 1, 2), preference(2, 1, 2, "human", 0.0)], {(1, 2): "human undecided"}),
        ([preference(1, 7, 8)], {(1, 2): "not judged yet"}),
    ],
)
def test_whose_word_counts(said: list[Preference], expected: dict[tuple[int, int], str]) -> None:
    """A human overrides a judge, newer overrides older, and only sufficient confidence counts."""
    for order in (said, said[::-1]):
        assert pairs(d_pref(two(), order, SETTINGS, JUDGE, seed=0)) == expected


def test_reasons_of_reflections_in_no_pair() -> None:
    """Each is listed once, with the reason why it needs no judgement."""
    rows = [
        candidate(1, question_id=1),
        candidate(2, question_id=1, correction_verdict="incorrect"),
        candidate(3, question_id=2, review="reject"),
        candidate(4, question_id=2, text="Add again."),
        candidate(5, question_id=2, correction_verdict="unverified"),
        candidate(6, question_id=3, text="The last digit was never carried over to the next column."),
        candidate(7, question_id=3, text="the last digit was never  carried over to the next column."),
        candidate(8, question_id=4, attempt_id=40),
        candidate(9, question_id=4, attempt_id=41),
        *(candidate(number, question_id=5) for number in (10, 11, 12)),
    ]
    curated = d_pref(rows, [], SETTINGS, JUDGE, seed=0)
    alone = {row.reflection_id: row.reason for row in curated if row.rejected_reflection_id is None}
    lonely = "no other reflection led to a correct answer"
    (left,) = {10, 11, 12} & set(alone)
    assert alone.pop(left) == "above judge.pairs_per_question"
    kept, repeated = (6, 7) if alone[7] == "duplicate" else (7, 6)
    assert (alone.pop(kept), alone.pop(repeated)) == (lonely, "duplicate")
    assert alone == {
        1: lonely,
        2: "correction incorrect",
        3: "human reject",
        4: "too short",
        5: "correction unverified",
        8: lonely,
        9: lonely,
    }


def test_an_accept_overrules_the_filters_on_the_text_here_too() -> None:
    """An operator's decision overrides a word count."""
    short = two(text="Add again.", review="accept")
    assert pairs(d_pref(short, [], SETTINGS, JUDGE, seed=0)) == {(1, 2): "not judged yet"}


def test_nobody_is_asked_about_a_pair_that_a_cap_would_keep_out() -> None:
    """A judgement costs money or an operator's time."""
    rows = [candidate(number, question_id=number // 4, task="sums") for number in range(12)]
    judge = JudgeSection(pairs_per_question=6)
    capped = CurationSection(max_per_task=2, max_per_question=2)
    open_pairs = [pair for pair, why in pairs(d_pref(rows, [], capped, judge, 0)).items() if why == "not judged yet"]
    assert len(open_pairs) == 2
    said = [preference(n, *pair) for n, pair in enumerate(open_pairs)]
    reasons = Counter(pairs(d_pref(rows, said, capped, judge, 0)).values())
    assert (reasons["included"], reasons["not judged yet"]) == (2, 0)


def test_a_pair_that_could_not_be_decided_makes_room_for_another() -> None:
    """Up to `pairs_per_question` pairs are judged, and judged pairs stay selected."""
    rows = [candidate(number, question_id=1) for number in range(4)]
    judge = JudgeSection(pairs_per_question=2)
    one = CurationSection(max_per_question=1)
    (open_pair,) = (pair for pair, why in pairs(d_pref(rows, [], one, judge, 0)).items() if why == "not judged yet")
    inconsistent = preference(1, *open_pair, confidence=0.0, note="judge inconsistent")
    after = pairs(d_pref(rows, [inconsistent], one, judge, 0))
    assert after[open_pair] == "judge inconsistent"
    (another,) = (pair for pair, why in after.items() if why == "not judged yet")
    assert not set(another) & set(open_pair), "no reflection is asked about twice while others were not once"
    decided = pairs(d_pref(rows, [inconsistent, preference(2, *another)], one, judge, 0))
    assert decided == {open_pair: "judge inconsistent", another: "included"}


def test_every_pair_that_a_human_judged_counts() -> None:
    """The Review screen may show more pairs than are sent to a judge."""
    rows = [candidate(number, question_id=1) for number in range(1, 5)]
    said = [preference(1, 1, 2, "human"), preference(2, 3, 1, "human"), preference(3, 4, 2, "judge")]
    curated = pairs(d_pref(rows, said, SETTINGS, JUDGE, seed=0))
    assert curated == {(1, 2): "included", (3, 1): "included"}


@given(CANDIDATES, LIMITS, st.integers(0, 3), st.integers(1, 3), st.data(), st.randoms(use_true_random=False))
def test_d_pref_accounts_for_every_candidate(
    rows: list[Candidate],
    limits: CurationSection,
    seed: int,
    per_question: int,
    data: st.DataObject,
    shuffler: random.Random,
) -> None:
    """Both sides right, of one attempt and different; caps obeyed; every candidate listed; independent of the input
    order; and judging the open pairs ends with none open.
    """
    judge = JudgeSection(pairs_per_question=per_question)
    by_id = {row.reflection_id: row for row in rows}
    said: list[Preference] = []
    for _ in range(len(rows) ** 2 + 1):
        curated = d_pref(rows, said, limits, judge, seed)
        open_ones = [pair for pair, reason in pairs(curated).items() if reason == "not judged yet"]
        if not open_ones:
            break
        for first, second in open_ones:
            chosen, rejected = (first, second) if data.draw(st.booleans()) else (second, first)
            confidence = data.draw(st.sampled_from((0.0, 0.3, 1.0)))
            said.append(preference(len(said), chosen, rejected, confidence=confidence))
    assert not open_ones
    for row in curated:
        assert row.reason
        if row.rejected_reflection_id is not None:
            one, other = by_id[row.reflection_id], by_id[row.rejected_reflection_id]
            assert one.attempt_id == other.attempt_id
            assert one.correction_verdict == other.correction_verdict == "correct"
            assert "reject" not in (one.review, other.review)
            assert jaccard(grams(one.text), grams(other.text)) <= limits.max_similarity
            known = in_force(said).get(frozenset((one.reflection_id, other.reflection_id)))
            assert not row.included or (known is not None and known.confidence == 1.0)
            assert known is None or known.chosen_id == one.reflection_id
    kept = [by_id[row.reflection_id] for row in curated if row.included]
    assert within_caps(kept, limits)
    judged = Counter(by_id[one.chosen_id].question_id for one in said)
    assert all(count <= per_question for count in judged.values())
    alone = [row.reflection_id for row in curated if row.rejected_reflection_id is None]
    paired = {one for pair in pairs(curated) for one in pair}
    assert len(alone) == len(set(alone))
    assert set(alone) | paired == set(by_id) and not set(alone) & paired
    mixed = list(rows)
    shuffler.shuffle(mixed)
    assert d_pref(mixed, said[::-1], limits, judge, seed) == curated
