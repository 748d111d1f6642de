"""Tests of the assignment of reflections to wrong answers: derangement, strata, degenerate tasks."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.control_arms import Reflected, foreign, generic_words, shuffled
from engine.prompts.control_prompts import generic_reflection, read_judgement, stated_answer


def reflections(*answers: str, task: str = "sums", start: int = 1) -> list[Reflected]:
    """One reflection for each wrong answer, with ids from `start`."""
    return [
        Reflected(start + place, task, answer, f"reflection {start + place}", reflection_id=100 + place)
        for place, answer in enumerate(answers)
    ]


@given(st.lists(st.sampled_from("ABCDE"), min_size=0, max_size=40), st.integers(1, 3), st.integers(0, 5))
def test_no_answer_gets_a_reflection_on_the_same_answer(answers: list[str], draws: int, seed: int) -> None:
    """With at most half of one kind each draw is a derangement; otherwise every question still gets another one."""
    every = reflections(*answers)
    found = shuffled(every, draws, seed)
    assert found == shuffled(list(reversed(every)), draws, seed), "the order of the rows doesn't matter"
    assert len(found) == draws
    mine = {one.question_id: one.answer for one in every}
    kinds = Counter(answers)
    for assigned in found:
        assert all(other.answer != mine[question] for question, other in assigned.items())
        if len(kinds) < 2:
            assert not assigned
            continue
        assert assigned.keys() == mine.keys()
        used = Counter(other.question_id for other in assigned.values())
        if 2 * max(kinds.values()) <= len(answers):
            assert set(used.values()) == {1}
        else:
            rest = [used[one.question_id] for one in every if one.answer != kinds.most_common(1)[0][0]]
            assert max(rest) - min(rest) <= 1, "the rarer reflections are used equally often"


def test_draws_differ_where_there_are_enough_reflections() -> None:
    """Three draws of the same reflection would be one draw."""
    found = shuffled(reflections(*"ABCDEFGH"), 3, 0)
    for question in found[0]:
        assert len({drawn[question].question_id for drawn in found}) == 3


def test_tasks_are_shuffled_apart_and_foreign_reflections_come_from_another() -> None:
    """A single task has nothing foreign; a task whose answers are all the same can't be shuffled."""
    sums, words = reflections(*"AABB"), reflections(*"CC", task="words", start=11)
    drawn = shuffled([*sums, *words], 1, 3)[0]
    assert drawn.keys() == {1, 2, 3, 4}
    assert {other.task for other in drawn.values()} == {"sums"}
    strange = foreign([*sums, *words], 3)
    assert strange.keys() == {1, 2, 3, 4, 11, 12}
    assert all(other.task != ("sums" if question < 10 else "words") for question, other in strange.items())
    assert foreign(sums, 3) == {}
    assert shuffled([], 2, 0) == [{}, {}]


def test_the_generic_sentence_has_the_mean_length() -> None:
    """Of any length, longer than the text it is made from included; it ends as a sentence."""
    assert generic_words([]) == 0
    assert generic_words(reflections("A", "B")) == 2
    for words in (1, 2, 20, 100, 400):
        text = generic_reflection(words)
        assert len(text.split()) == words and text.endswith(".") and not text.endswith("..")
    assert len(generic_reflection(0).split()) == 1


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        *(("Yes.", "yes"), ("no", "no"), ("**No**, because", "no"), (" YES!", "yes")),
        *(("Nothing", None), ("yesterday", None), ("It is right", None), ("", None)),
    ],
)
def test_only_yes_and_no_are_judgements(reply: str, read: str | None) -> None:
    """A reply that begins otherwise has no judgement."""
    assert read_judgement(reply) == read


def test_a_question_without_a_reference_states_none() -> None:
    """A program is stated on lines of its own."""
    assert stated_answer(" B ") == "The answer is B."
    assert stated_answer("def f():\n    return 1") == "The answer is:\ndef f():\n    return 1"
    with pytest.raises(ValueError, match="without a reference"):
        stated_answer("  ")
