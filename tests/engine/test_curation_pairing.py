"""Tests of pairing: one instruction where possible, by verdict or by lift; right attempts are balanced."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
from pydantic import ValidationError

from engine.curation.candidates import Candidate
from engine.curation.d_plus import d_plus
from engine.curation.d_pm import d_pm
from engine.curation.d_pref import d_pref
from store.curation.records import Preference
from store.settings import CurationSection, JudgeSection, RunSettings
from tests.support.candidates import candidate
from tests.support.pairs import BY_LIFT, left_out, lifted, paired, tried
from tests.support.rows import run_settings


@pytest.mark.parametrize(
    ("members", "expected", "reasons"),
    [
        # One instruction has both outcomes: the other reflections have no counterpart.
        (
            [(1, "correct", "A"), (2, "incorrect", "B"), (3, "incorrect", "A"), (4, "correct", "C")],
            {(1, 3)},
            {2: "no counterpart with its instruction", 4: "no counterpart with its instruction"},
        ),
        # None has: the pair crosses.
        ([(1, "correct", "A"), (2, "incorrect", "B")], {(1, 2)}, {}),
        # `general` is an instruction like any other.
        ([(1, "correct", "general"), (2, "incorrect", "A"), (3, "incorrect", "general")], {(1, 3)}, {2: ""}),
        # Two instructions, one pair each, before any reflection is used twice.
        (
            [
                (1, "correct", "A"),
                (2, "correct", "A"),
                (3, "incorrect", "A"),
                (4, "correct", "B"),
                (5, "incorrect", "B"),
            ],
            None,
            {},
        ),
        ([(1, "correct", "A"), (2, "correct", "B")], set(), {1: "no incorrect counterpart"}),
        ([(1, "incorrect", "A"), (2, "unverified", "A")], set(), {1: "no correct counterpart"}),
    ],
)
def test_pairs_share_their_instruction_where_they_can(
    members: list[tuple[int, str, str]], expected: set[tuple[int, int]] | None, reasons: dict[int, str]
) -> None:
    """The two sides of a pair answer one prompt, so that they differ in what they say, not in what was asked."""
    for seed in range(5):
        rows = d_pm([tried(*member) for member in members], CurationSection(), seed)
        if expected is None:
            assert {frozenset(pair) & {4, 5} for pair in paired(rows)} == {frozenset(), frozenset({4, 5})}
        else:
            assert set(paired(rows)) == expected
        for number, reason in reasons.items():
            assert reason in left_out(rows)[number]


def test_an_equal_text_under_another_instruction_costs_no_pair_of_one_instruction() -> None:
    """Of equal texts the one is kept that has a counterpart."""
    text = "I added the digits from the wrong end and lost the carry."
    other = "I never looked at the last digit at all, which decides it."
    for one, two in product("AB", repeat=2):
        members = [tried(1, instruction=one, text=text), tried(2, instruction="AB".replace(one, ""), text=text)]
        members += [tried(3, "incorrect", two, text=other), tried(4, "incorrect", "AB".replace(two, ""), text=other)]
        for seed in range(4):
            rows = d_pm(members, CurationSection(), seed)
            by_id = {member.reflection_id: member for member in members}
            assert [by_id[a].instruction == by_id[b].instruction for a, b in paired(rows)] == [True]


def test_a_crossing_pair_may_not_have_its_texts_in_the_general_prompt() -> None:
    """Each reflection was checked against its own prompt; a crossing pair is asked with another one."""
    one, two = tried(1, instruction="A"), tried(2, "incorrect", "B")
    assert paired(d_pm([one, two], CurationSection(), 0)) == [(1, 2)]
    stated = tried(2, "incorrect", "B", general_prompt_text=f"Question\n\n{two.text}")
    assert left_out(d_pm([one, stated], CurationSection(), 0)) == {
        1: "no incorrect counterpart",
        2: "prompt states the answer",
    }


def test_dpref_pairs_share_their_instruction_where_they_can() -> None:
    """A pair across instructions is asked about only where no other exists; one that a human ranked stays."""
    three = [tried(1, instruction="A"), tried(2, instruction="B"), tried(3, instruction="B")]
    judge = JudgeSection(pairs_per_question=5)

    def pairs(members: list[Candidate], *said: Preference) -> dict[tuple[int, int], str]:
        rows = d_pref(members, said, CurationSection(), judge, 0)
        return {(row.reflection_id, row.rejected_reflection_id or 0): row.reason for row in rows}

    assert pairs(three) == {(2, 3): "not judged yet", (1, 0): "no counterpart with its instruction"}
    assert pairs(three[:2]) == {(1, 2): "not judged yet"}
    human = Preference(1, 1, 2, "human", 1.0, "me", "", 0.0)
    assert pairs(three, human) == {(1, 2): "included", (2, 3): "not judged yet"}


@pytest.mark.parametrize(
    ("lifts", "settings", "expected"),
    [
        ([0.5, 0.0], {}, [(0, 1)]),
        ([0.0, 0.25, -0.5], {}, [(1, 2), (0, 2)]),
        ([0.25, 0.25, 0.0], {}, [(0, 2), (1, 2)]),
        ([0.25, 0.0, 0.0], {}, [(0, 1), (0, 2)]),
        ([0.2, 0.0], {}, []),
        ([0.2, 0.0], {"lift_margin": 0.0}, []),
        ([0.25, 0.0], {"lift_margin": 0.5}, []),
        ([-0.25, -0.75], {}, [(0, 1)]),
        ([-0.25, -0.75], {"min_lift": 0.0}, []),
        ([0.0, -0.75], {"min_lift": 0.0}, [(0, 1)]),
        ([None, 0.5], {}, []),
    ],
)
def test_pairs_by_lift(lifts: list[float | None], settings: dict[str, Any], expected: list[tuple[int, int]]) -> None:
    """The extremes come first, and the difference is at least the margin and one correction's worth (1/4 here)."""
    members = [lifted(number, lift) for number, lift in enumerate(lifts)]
    rows = d_pm(members, CurationSection(pairs_by="lift", **settings), 0)
    assert sorted(paired(rows)) == sorted(expected)
    if expected:
        assert paired(rows)[0][1] == expected[0][1] or lifts.count(min(one or 0 for one in lifts)) > 1


def test_reasons_of_pairs_by_lift() -> None:
    """A reflection without a counterpart says why, and reviews keep their meaning."""
    members = [
        lifted(1, None),
        lifted(2, 0.1, question_id=2),
        lifted(3, 0.1, question_id=2),
        lifted(4, -0.5, question_id=3),
        lifted(5, -1.0, question_id=3, review="accept"),
        lifted(6, 0.75, question_id=4, review="reject"),
        lifted(7, 0.0, question_id=4),
        lifted(8, -0.5, question_id=5),
        lifted(9, -0.9, question_id=5),
    ]
    rows = d_pm(members, CurationSection(pairs_by="lift", min_lift=0.0), 0)
    assert not paired(rows)
    assert left_out(rows) == {
        1: "lift unknown",
        2: "no counterpart with another lift",
        3: "no counterpart with another lift",
        4: "lift below min_lift",
        5: "lift below min_lift",
        6: "no counterpart with another lift",
        7: "no counterpart with another lift",
        8: "lift below min_lift",
        9: "lift below min_lift",
    }


def test_one_lucky_draw_decides_no_pair_by_lift() -> None:
    """By verdict the first correction decides; by lift the share of all of them."""
    lucky = tried(1, "correct", lift=-0.25, lift_draws=4)
    unlucky = tried(2, "incorrect", lift=0.5, lift_draws=4)
    assert paired(d_pm([lucky, unlucky], CurationSection(), 0)) == [(1, 2)]
    assert paired(d_pm([lucky, unlucky], BY_LIFT, 0)) == [(2, 1)]


def test_on_right_attempts_the_verdict_decides_also_with_lifts() -> None:
    """No lift is defined there, and c→c over c→i is what keeps right answers."""
    members = [lifted(number, lift, question_id=5) for number, lift in ((1, 0.5), (2, 0.0))]
    members += [tried(3, attempt_verdict="correct"), tried(4, "incorrect", attempt_verdict="correct")]
    assert set(paired(d_pm(members, BY_LIFT, 0))) == {(1, 2), (3, 4)}


def test_min_lift_excludes_known_low_lifts_only() -> None:
    """In D+ and on the chosen side of D±; the verdict stays as it is, and an operator's accept doesn't override it."""
    settings = CurationSection(min_lift=0.25)
    for lift, review, reason in (
        (0.25, None, "included"),
        (0.1 + 0.15, None, "included"),
        (0.2, None, "lift below min_lift"),
        (0.2, "accept", "lift below min_lift"),
        (None, None, "included"),
        (-1.0, "reject", "human reject"),
    ):
        one = tried(1, lift=lift, lift_draws=4, review=review)
        (row,) = d_plus([one], settings, 0)
        assert row.reason == reason, (lift, review)
        included = reason == "included"
        assert bool(paired(d_pm([one, tried(2, "incorrect", lift=-1.0, lift_draws=4)], settings, 0))) is included
        (rows,) = (d_pref([one, tried(2)], [], settings, JudgeSection(), 0),)
        assert any(pair.rejected_reflection_id for pair in rows) is included


@pytest.mark.parametrize("curation", [{"min_lift": 0.0}, {"pairs_by": "lift"}, {"min_lift": -1.0, "pairs_by": "lift"}])
def test_settings_on_lifts_need_several_corrections(curation: dict[str, Any]) -> None:
    """With one correction no lift is known: that is refused where it is set, not found in an empty set."""
    with pytest.raises(ValidationError, match=r"correction\.samples = 1 no lift is known; set correction\.samples"):
        run_settings(curation=curation)
    several = run_settings(curation=curation, correction={"samples": 2, "temperature": 0.7})
    assert isinstance(several, RunSettings)


def test_right_attempts_are_balanced_against_wrong_ones() -> None:
    """No task has more c→c than i→c rows by default, whatever the caps and the order; the others say why."""
    members = [candidate(number, task="sums", attempt_verdict="correct") for number in range(8)]
    members += [candidate(number, task="sums") for number in range(10, 13)]
    members += [candidate(number, task="words", attempt_verdict="correct") for number in range(20, 24)]
    for changes, kept in (
        ({}, {"i→c": 3, "c→c": 3}),
        ({"max_right_per_wrong": 2.0}, {"i→c": 3, "c→c": 6}),
        ({"max_right_per_wrong": 0.5}, {"i→c": 3, "c→c": 1}),
        ({"max_right_per_wrong": 0.0}, {"i→c": 3}),
        ({"max_per_task": 4}, {"i→c": 3, "c→c": 1}),
    ):
        rows = d_plus(members, CurationSection(**changes), 0)
        found = Counter("i→c" if 10 <= row.reflection_id < 13 else "c→c" for row in rows if row.included)
        assert found == kept, changes
        assert all(row.reason == "above max_right_per_wrong" for row in rows if row.reflection_id >= 20)


def test_d_plus_keeps_a_right_attempt_that_its_correction_repeats() -> None:
    """Its prompt asks to give it again; what else the prompt states is still not learnt."""
    worked = "First add the tens, then the ones, then write the sum.\nAnswer: 42"
    other = "First I count the tens twice, which needs no carry.\nAnswer: 42"
    asked = f"How much is it?\n\n{worked}\n\nYour answer may be right or wrong."

    def reason(**changes: Any) -> str:
        given = {"attempt_verdict": "correct", "attempt_text": worked, "correction_text": worked, "prompt_text": asked}
        kept = candidate(2, **{**given, "correction_request": asked, **changes})
        return {row.reflection_id: row.reason for row in d_plus([candidate(1), kept], CurationSection(), 0)}[2]

    assert reason() == "included"
    assert reason(correction_text=other) == "included"
    assert reason(attempt_verdict="incorrect") == "prompt states the answer"
    assert reason(text=worked) == "prompt states the answer"
    assert reason(correction_text=other, prompt_text=f"{asked}\n\n{other}") == "prompt states the answer"
