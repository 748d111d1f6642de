"""Properties of pairing: no pair crosses instructions while one of the same exists; cost is linear in the rows."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from itertools import combinations, product

from hypothesis import given
from hypothesis import strategies as st

from engine.curation.candidates import Candidate
from engine.curation.d_pm import d_pm
from engine.curation.similarity import grams, jaccard
from engine.tasks.base import normalised
from store.settings import CurationSection
from tests.engine.test_curation_properties import TEXTS
from tests.support.candidates import candidate
from tests.support.pairs import tried

MEMBERS = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.sampled_from(("correct", "incorrect", "unverified")),
        st.sampled_from(("A", "B", "general")),
        st.integers(0, len(TEXTS) - 1),
        st.sampled_from((None, None, None, "accept", "reject")),
        st.sampled_from((None, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0)),
    ),
    max_size=40,
).map(
    lambda rows: [
        candidate(
            number,
            question_id=attempt // 2,
            attempt_id=attempt,
            attempt_verdict="correct" if attempt // 2 == 3 else "incorrect",
            task=("letters", "sums")[attempt // 2 % 2],
            correction_verdict=verdict,
            instruction=instruction,
            text=TEXTS[variant],
            review=review,
            lift=None if attempt // 2 == 3 else lift,
            lift_draws=4,
        )
        for number, (attempt, verdict, instruction, variant, review, lift) in enumerate(rows)
    ]
)
CHOICES = st.builds(
    CurationSection,
    max_per_question=st.integers(1, 4),
    max_per_instruction=st.sampled_from((None, None, 2)),
    max_similarity=st.sampled_from((0.3, 0.9, 1.0)),
    pairs_by=st.sampled_from(("verdict", "lift")),
    min_lift=st.sampled_from((None, 0.0, 0.5)),
    max_right_per_wrong=st.sampled_from((0.0, 1.0, 2.0)),
)


@given(MEMBERS, CHOICES, st.integers(0, 3), st.randoms(use_true_random=False))
def test_no_pair_crosses_instructions_while_one_of_the_same_exists(
    members: list[Candidate], settings: CurationSection, seed: int, shuffler: random.Random
) -> None:
    """And the pairs obey verdict or lift, reviews and the balance, whatever the order of the input."""
    rows = d_pm(members, settings, seed)
    by_id = {one.reflection_id: one for one in members}
    by_attempt: defaultdict[int, list[Candidate]] = defaultdict(list)
    for one in members:
        by_attempt[one.attempt_id].append(one)
    on_right: Counter[tuple[str, bool]] = Counter()
    for row in rows:
        if row.rejected_reflection_id is None:
            assert not row.included and row.reason
            continue
        chosen, rejected = by_id[row.reflection_id], by_id[row.rejected_reflection_id]
        on_right[chosen.task, chosen.on_right_attempt] += 1
        assert chosen.attempt_id == rejected.attempt_id and chosen.review != "reject" and rejected.review != "accept"
        if settings.pairs_by == "lift" and not chosen.on_right_attempt:
            assert chosen.lift is not None and rejected.lift is not None and chosen.lift - rejected.lift >= 0.25
        else:
            assert (chosen.correction_verdict, rejected.correction_verdict) == ("correct", "incorrect")
        assert settings.min_lift is None or chosen.lift is None or chosen.lift >= settings.min_lift
        if chosen.instruction != rejected.instruction:
            assert not any(
                could_pair(one, other, by_attempt[chosen.attempt_id], settings)
                for one, other in product(by_attempt[chosen.attempt_id], repeat=2)
                if one.instruction == other.instruction
            )
    for task in ("letters", "sums"):
        assert on_right[task, True] <= settings.max_right_per_wrong * on_right[task, False]
    mixed = list(members)
    shuffler.shuffle(mixed)
    assert d_pm(mixed, settings, seed) == rows


def could_pair(one: Candidate, other: Candidate, members: list[Candidate], settings: CurationSection) -> bool:
    """Whether two reflections could be a pair by verdict; by lift, only where no text is like another."""

    def alike(a: Candidate, b: Candidate) -> bool:
        same = normalised(a.text) == normalised(b.text)
        return same or jaccard(grams(a.text), grams(b.text)) > settings.max_similarity

    if one.review in ("reject",) or other.review == "accept":
        return False
    if settings.min_lift is not None and one.lift is not None and one.lift < settings.min_lift:
        return False
    if settings.pairs_by == "lift" and not one.on_right_attempt:
        if any(alike(a, b) for a, b in combinations(members, 2)):
            return False
        return one.lift is not None and other.lift is not None and one.lift - other.lift >= 0.25
    if (one.correction_verdict, other.correction_verdict) != ("correct", "incorrect"):
        return False
    usable = [a for a in members if a.correction_verdict == "correct" and a.review != "reject"]
    if settings.min_lift is not None:
        usable = [a for a in usable if a.lift is None or a.lift >= settings.min_lift]
    return not any(alike(a, other) for a in usable)


def test_pairing_costs_as_much_as_it_has_rows() -> None:
    """Four times the questions take about four times as long, not sixteen (processor time, generous)."""

    def seconds(questions: int, settings: CurationSection) -> float:
        members = [
            tried(
                question * 8 + number, ("correct", "incorrect")[number % 2], "AB"[number // 4], question_id=question,
                lift=number / 8, lift_draws=8, text=f"I read part {question} of step {number} too fast.",
            )
            for question in range(questions)
            for number in range(8)
        ]  # fmt: skip
        started = time.process_time()
        d_pm(members, settings, 0)
        return time.process_time() - started

    for settings in (CurationSection(max_similarity=1.0), CurationSection(max_similarity=1.0, pairs_by="lift")):
        seconds(50, settings)
        assert seconds(1200, settings) < 9 * max(seconds(300, settings), 0.02)
