"""Tests of the training sets: no leaks, a reason for every exclusion, no dominating task, and reproducible sets."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from engine.curation.d_plus import d_plus
from engine.curation.d_pm import d_pm
from engine.curation.filters import echoed_share
from store.settings import CurationSection
from tests.support.candidates import candidate

SETTINGS = CurationSection()

REQUEST = "Your answer is wrong. Reflect on it step by step. Look for a mistake in a calculation, then list the steps."
ECHOED = "Reflect on it step by step, and look for a mistake in a calculation. Then list the steps."
OWN_WORDS = "I took the second number twice because I read the line from its end, so from now on I mark what I used."


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "included"),
        ({"correction_verdict": "incorrect"}, "correction incorrect"),
        ({"correction_verdict": "unverified"}, "correction unverified"),
        ({"correction_verdict": None, "correction_id": None}, "not corrected"),
        ({"text": "The right answer is 42, so I will add again."}, "leak"),
        ({"text": "Add again."}, "too short"),
        ({"text": " ".join(f"word{n}" for n in range(301))}, "too long"),
        ({"text": "I will check it again now. " * 10}, "repetition"),
        ({"text": ECHOED, "request_text": REQUEST}, "echo"),
        ({"text": ECHOED, "request_text": "Say why."}, "included"),
        ({"text": ECHOED, "request_text": REQUEST, "review": "accept"}, "included"),
        ({"text": f"{ECHOED} {OWN_WORDS}", "request_text": REQUEST}, "included"),
        ({"finish_reason": "length"}, "truncated"),
        ({"review": "reject"}, "human reject"),
        ({"review": "flag"}, "included"),
        ({"review": "accept", "text": "Add again."}, "included"),
        ({"review": "accept", "correction_verdict": "incorrect"}, "correction incorrect"),
    ],
)
def test_every_reason(changes: dict[str, Any], reason: str) -> None:
    """Every exclusion has a reason; a human accept overrides the filters on the text, never the verdict."""
    (row,) = d_plus([candidate(1, **changes)], SETTINGS, seed=0)
    assert (row.reason, row.included) == (reason, reason == "included")


def test_echoes_stay_when_the_setting_says_so() -> None:
    """The share is a setting; 1 admits even a reflection that only repeats its request."""
    assert echoed_share("", REQUEST) == 0 and echoed_share(REQUEST, REQUEST) == 1
    assert 0.5 < echoed_share(ECHOED, REQUEST) < 0.9 and echoed_share(OWN_WORDS, REQUEST) == 0
    for limit, reason in ((0.9, "included"), (0.4, "echo"), (1.0, "included")):
        settings = CurationSection(max_echo=limit)
        (row,) = d_plus([candidate(1, text=ECHOED, request_text=REQUEST)], settings, seed=0)
        assert row.reason == reason, limit


def test_leaks_stay_when_the_setting_says_so() -> None:
    """The filter is a setting."""
    (row,) = d_plus([candidate(1, text="The right answer is 42, so add again.")], CurationSection(drop_leaks=False), 0)
    assert row.included


def test_duplicates_and_the_cap_of_a_question() -> None:
    """One text counts once per question; the cap prefers new instructions and human accepts."""
    rows = [candidate(n, question_id=1, instruction="1-1-1") for n in range(4)]
    rows.append(candidate(4, question_id=1, instruction="1-2-1"))
    rows.append(candidate(5, question_id=1, instruction="1-1-1", review="accept"))
    rows.append(candidate(6, question_id=1, text=rows[5].text.upper()))
    reasons = {row.reflection_id: row.reason for row in d_plus(rows, SETTINGS, seed=0)}
    assert reasons.pop(6) == "duplicate"
    assert {number for number, reason in reasons.items() if reason == "included"} == {4, 5}
    assert {reason for number, reason in reasons.items() if number < 4} == {"above max_per_question"}


def test_no_task_drowns_the_others() -> None:
    """Trap of the first probe: 45 of 60 rows from one task taught answers instead of reflecting."""
    rows = [candidate(n, task="letters") for n in range(45)] + [candidate(n, task="sums") for n in range(45, 60)]
    curated = d_plus(rows, CurationSection(max_task_share=0.5), seed=0)
    kept = Counter("letters" if row.reflection_id < 45 else "sums" for row in curated if row.included)
    assert kept == {"letters": 15, "sums": 15}
    assert Counter(row.reason for row in curated)["above max_task_share"] == 30


def test_a_single_task_is_kept_and_said_so() -> None:
    """With one task no share below 1 can be met; the cap must not drop everything."""
    curated = d_plus([candidate(n) for n in range(5)], CurationSection(max_task_share=0.3), seed=0)
    assert all(row.included and "max_task_share does not apply" in row.reason for row in curated)


def test_d_pm_uses_every_reflection_before_one_repeats() -> None:
    """Three right and three wrong reflections give three pairs of six different reflections."""
    rows = [candidate(n, question_id=1, correction_verdict=("correct", "incorrect")[n % 2]) for n in range(6)]
    pairs = [row for row in d_pm(rows, CurationSection(max_per_question=3), 0) if row.included]
    assert len({row.reflection_id for row in pairs} | {row.rejected_reflection_id for row in pairs}) == 6


def test_d_pm_reasons() -> None:
    """A reflection without a partner is excluded with that reason; a text with both outcomes carries no signal."""
    rows = [
        candidate(1, question_id=1),
        candidate(2, question_id=2, correction_verdict="incorrect"),
        candidate(3, question_id=3, text="The same text as another one has."),
        candidate(4, question_id=3, text="the same text as  another one has.", correction_verdict="incorrect"),
        candidate(5, question_id=4),
        candidate(6, question_id=4, correction_verdict="incorrect", review="accept"),
        candidate(7, question_id=5),
        candidate(8, question_id=5, correction_verdict="incorrect", review="reject", text="Bad."),
    ]
    curated = d_pm(rows, SETTINGS, seed=0)
    reasons = {row.reflection_id: row.reason for row in curated}
    assert reasons == {
        1: "no incorrect counterpart",
        2: "no correct counterpart",
        3: "no incorrect counterpart",
        4: "the same text also led to a correct answer",
        5: "no incorrect counterpart",
        6: "human accept, correction incorrect",
        7: "included",
    }
    assert [(row.reflection_id, row.rejected_reflection_id) for row in curated if row.included] == [(7, 8)]


def test_sets_change_with_the_seed_only_in_what_is_picked() -> None:
    """The seed breaks ties and does not affect the counts."""
    rows = [candidate(n, question_id=n // 6) for n in range(60)]
    picks = [frozenset(row.reflection_id for row in d_plus(rows, SETTINGS, seed) if row.included) for seed in range(5)]
    assert {len(pick) for pick in picks} == {20}
    assert len(set(picks)) > 1


def test_pairs_never_mix_the_rounds_of_a_question() -> None:
    """A pair shares its prompt, and a reflection of the second round refers to another attempt than one of the first:
    paired by question, half of a pair would complete a prompt it was not generated from.
    """
    first, second = 10, 20
    rows = [
        candidate(1, question_id=1, attempt_id=first),
        candidate(2, question_id=1, attempt_id=second, correction_verdict="incorrect"),
        candidate(3, question_id=2, attempt_id=30),
        candidate(4, question_id=2, attempt_id=40),
        candidate(5, question_id=2, attempt_id=30, correction_verdict="incorrect"),
        candidate(6, question_id=2, attempt_id=40, correction_verdict="incorrect"),
    ]
    curated = d_pm(rows, SETTINGS, seed=0)
    assert {(row.reflection_id, row.rejected_reflection_id) for row in curated if row.included} == {(3, 5), (4, 6)}
    reasons = {row.reflection_id: row.reason for row in curated if not row.included}
    assert reasons == {1: "no incorrect counterpart", 2: "no correct counterpart"}


def test_one_text_counts_once_in_a_set_whatever_question_it_was_written_for() -> None:
    """A generic reflection that fits every question carries no signal about any."""
    generic = "I should be more careful and check each of my steps again before I answer the question."
    rows = [candidate(n, text=generic) for n in (1, 2)]
    rows.append(candidate(3, text=generic.replace("I answer", "answering")))
    rows.append(candidate(4))
    reasons = Counter(row.reason for row in d_plus(rows, CurationSection(max_similarity=0.6), seed=0))
    assert reasons["included"] == 2
    assert reasons["duplicate"] + reasons["near duplicate"] == 2
    only_equal = Counter(row.reason for row in d_plus(rows, CurationSection(max_similarity=1.0), seed=0))
    assert only_equal == {"included": 3, "duplicate": 1}


def test_only_what_is_in_the_set_keeps_its_likes_out() -> None:
    """Otherwise a cap would cost two rows instead of one: of two similar texts one is always included, even when the
    other is capped.
    """
    text = "I should be more careful and check each of my steps again before I answer question {}."
    rows = [candidate(n, question_id=1) for n in (1, 2)] + [candidate(3, question_id=1, text=text.format("one"))]
    rows.append(candidate(4, question_id=2, text=text.format("two")))
    for seed in range(20):
        curated = {row.reflection_id: row for row in d_plus(rows, CurationSection(max_similarity=0.5), seed)}
        assert sum(curated[number].included for number in (3, 4)) == 1
        assert sum(row.included for row in curated.values()) in (2, 3)


def test_caps_per_instruction_and_task_name_themselves() -> None:
    """The funnel must show which cap to raise."""
    rows = [candidate(n, instruction="1-1-1", task="letters") for n in range(3)]
    rows += [candidate(n, instruction="1-2-1", task="sums") for n in range(3, 6)]
    capped = CurationSection(max_per_instruction=2, max_per_task=1)
    assert Counter(row.reason for row in d_plus(rows, capped, 0)) == {"included": 2, "above max_per_task": 4}
    capped = CurationSection(max_per_instruction=2)
    assert Counter(row.reason for row in d_plus(rows, capped, 0)) == {
        "included": 4,
        "above max_per_instruction": 2,
    }


def test_trap_2_an_example_whose_prompt_holds_its_completion_is_never_trained_on() -> None:
    """Trap 2: published D+ rows carry the target in the prompt. No review overrides this."""
    reflection = candidate(1).text
    corrected = "First add the tens, then the ones, and write the sum.\nAnswer: 42"
    for changes in (
        {"prompt_text": f"Question\n\n{reflection.upper()}\n\nReflect."},
        {"prompt_text": f"Question\n\n{corrected}\n\nReflect.", "correction_text": corrected},
    ):
        for review in (None, "accept"):
            (row,) = d_plus([candidate(1, review=review, **changes)], SETTINGS, seed=0)
            assert row.reason == "prompt states the answer"
    stated = candidate(1, text=f"{reflection} {corrected}", correction_text=corrected, reference="")
    assert d_plus([stated], SETTINGS, seed=0)[0].reason == "leak"
    wrong = candidate(2, question_id=1, correction_verdict="incorrect", review="reject", prompt_text=candidate(2).text)
    reasons = {row.reflection_id: row.reason for row in d_pm([candidate(1), wrong], SETTINGS, seed=0)}
    assert reasons == {1: "no incorrect counterpart", 2: "prompt states the answer"}


def test_the_order_in_which_texts_were_finished_decides_nothing() -> None:
    """An interrupted run assigns other ids to its reflections: with the same places the sets contain the same texts."""
    draw = random.Random(3)
    made = [
        candidate(
            number,
            question_id=number // 6,
            attempt_id=number // 3,
            instruction=f"1-{number % 3 + 1}-1",
            text=f"The sum of column {number % 40} was carried wrongly, so it has to be added again from the right.",
            correction_verdict=draw.choice(("correct", "incorrect")),
            place=number + 1,
        )
        for number in range(120)
    ]
    ids = list(range(1000, 1120))
    draw.shuffle(ids)
    other = [replace(one, reflection_id=ids[n], attempt_id=500 - one.attempt_id) for n, one in enumerate(made)]
    settings = CurationSection(max_task_share=0.7, max_per_instruction=9)
    for make in (d_plus, d_pm):
        texts = []
        for candidates in (made, other):
            by_id = {one.reflection_id: one.place for one in candidates}
            rows = make(candidates, settings, 5)
            texts.append(
                [
                    (by_id[one.reflection_id], by_id.get(one.rejected_reflection_id or -1), one.included, one.reason)
                    for one in rows
                ]
            )
        assert texts[0] == texts[1]
        assert any(included for _, _, included, _ in texts[0])
