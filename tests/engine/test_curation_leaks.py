"""Tests of the leak rules by kind: number words, equal values, the other of two answers, texts of options, exclusions.

Each kind has statements of the answer and mentions in passing of the same words.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from engine.tasks.answers.stated_answer import states_reference
from engine.tasks.answers.stated_quantities import quantities
from tests.support.leak_cases import CAPITALS, COIN, EGGS, ELIMINATIONS, NUMBERS, OPTION_TEXTS, TWO_ANSWERS


@pytest.mark.parametrize(("text", "reference", "question", "attempt", "leaks"), NUMBERS)
def test_numbers(text: str, reference: str, question: str, attempt: str, leaks: bool) -> None:
    """A number leaks in any notation; words that count steps or mistakes state nothing."""
    assert states_reference(text, reference=reference, question_text=question, attempt_text=attempt) is leaks


@pytest.mark.parametrize(("text", "reference", "question", "attempt", "leaks"), TWO_ANSWERS)
def test_two_answers(text: str, reference: str, question: str, attempt: str, leaks: bool) -> None:
    """Of two answers, excluding one or naming the other states it; looking at both does not."""
    assert states_reference(text, reference=reference, question_text=question, attempt_text=attempt) is leaks


@pytest.mark.parametrize(("text", "reference", "question", "attempt", "leaks"), ELIMINATIONS)
def test_eliminations(text: str, reference: str, question: str, attempt: str, leaks: bool) -> None:
    """Excluding all other options states the last; reporting what the attempt excluded does not."""
    assert states_reference(text, reference=reference, question_text=question, attempt_text=attempt) is leaks


@pytest.mark.parametrize(("text", "reference", "question", "attempt", "leaks"), OPTION_TEXTS)
def test_option_texts(text: str, reference: str, question: str, attempt: str, leaks: bool) -> None:
    """The text or position of an option states it like its letter; weighing several options does not."""
    assert states_reference(text, reference=reference, question_text=question, attempt_text=attempt) is leaks


def test_a_third_answer_is_left_by_excluding_all_but_the_attempt_s_own() -> None:
    """The prompt says that the attempt is wrong, so that excluding the other options of three names the last one."""
    question = "Which?\nA. red things\nB. green things\nC. blue things"
    for attempt, leaks in (("Answer: A", True), ("Answer: B", False), ("I can't tell.", False)):
        found = states_reference("It is not B.", reference="C", question_text=question, attempt_text=attempt)
        assert found is leaks


def test_values_of_quantities() -> None:
    """A percentage has two values; a number that is too long for an answer has none."""
    assert [sorted(map(str, one.values)) for one in quantities("50 % and forty-two")] == [["1/2", "50"], ["42"]]
    assert not list(quantities("1" * 5000))
    assert not list(quantities("1/0"))


@pytest.mark.parametrize(
    "unit",
    ["\n", " ", "\t", "\u00a0", "1,111", "1,", "one ", "A, ", "not A, ", "answer is ", "(", "twenty-", "Paris ", "I "],
)
def test_the_rules_take_linear_time(unit: str) -> None:
    """A looping model writes 100,000 newlines: ten times the text may not take a hundred times as long."""

    def seconds(length: int) -> float:
        text = "The answer " + unit * (length // len(unit))
        started = time.process_time()
        for reference, question in (("42", EGGS), ("B", CAPITALS), ("no", COIN)):
            states_reference(text, reference=reference, question_text=question, attempt_text=text)
        return time.process_time() - started

    seconds(1_000)
    short = max(min(seconds(10_000) for _ in range(2)), 1e-3)
    assert seconds(100_000) / short < 45


def test_reflections_as_models_write_them() -> None:
    """Each reflection of reflections.jsonl is detected as labelled, except those marked as known to be misjudged."""
    lines = (Path(__file__).parent / "cases" / "reflections.jsonl").read_text(encoding="utf-8").splitlines()
    wrong = []
    for case in map(json.loads, lines):
        found = states_reference(
            case["text"],
            reference=case["reference"],
            question_text=case["question"],
            attempt_text=case["attempt"],
        )
        if (found != case["leaks"]) != case["misjudged"]:
            wrong.append((case["text"], case["reference"], found))
    assert wrong == []


@pytest.mark.parametrize("verb", ["answered", "picked", "chosen", "selected"])
@pytest.mark.parametrize(("said", "leaks"), [("(b)", True), ("b.", True), ("a letter at the end", False)])
def test_what_the_attempt_should_have_chosen(verb: str, said: str, leaks: bool) -> None:
    """The letter after "I should have picked" is named as the answer; an article is no letter."""
    found = states_reference(
        f"I should have {verb} {said}",
        reference="B" if leaks else "A",
        question_text=CAPITALS,
        attempt_text="Answer: D",
    )
    assert found is leaks
