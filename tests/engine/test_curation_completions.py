"""Tests of the rule for trained answers: cut, repeating and echoing ones are left out of D+ with their reason."""

from __future__ import annotations

import pytest

from engine.curation.d_plus import d_plus
from engine.curation.unfit_answers import (
    PromptWording,
    attempt_wording,
    correction_wording,
    unfit_answer,
)
from engine.prompts.rollout import Problem
from store.curation.exclusion_reasons import ANSWER_ECHO, ANSWER_REPETITION, ANSWER_TRUNCATED
from store.settings import CurationSection
from tests.support.candidates import candidate

PROBLEM = Problem(
    "A farmer has three fields with twelve rows each. Which number of rows is that?\nA. thirty-six rows of corn\nB. 30",
    "Finish with 'Answer:' and the letter of the right option.",
)
REFLECTION = "I multiplied only two of the fields and forgot the third one."
ASKED = correction_wording(PROBLEM, REFLECTION, show_previous_attempt=True)
FIRST = attempt_wording(PROBLEM)


@pytest.mark.parametrize("wording", [ASKED, FIRST])
@pytest.mark.parametrize(
    ("text", "finish_reason", "reason"),
    [
        ("Three times twelve is thirty-six. Answer: A", "stop", None),
        ("Answer: A", "stop", None),
        ("thirty-six rows of corn\nAnswer: A", "stop", None),
        ("", "stop", None),
        ("Three times twelve is", "length", ANSWER_TRUNCATED),
        ("so it is A " * 20, "stop", ANSWER_REPETITION),
        ("Let us see.\nA farmer has three fields with twelve rows each. That is 36.\nAnswer: A", "stop", None),
        ("A farmer has three fields with twelve rows each. Which number of rows is that? Answer: A", "stop", None),
        ('def rows():\n    """A farmer has three fields with twelve rows each."""\n    return 36', "stop", None),
        ("Answer: A\n\nFinish with 'Answer:' and the letter of the right option.", "stop", ANSWER_ECHO),
        ("It is A.\nAnswer: A\nA farmer has three fields with twelve rows each. How many?", "stop", ANSWER_ECHO),
    ],
)
def test_answers_that_teach_running_on(
    wording: PromptWording, text: str, finish_reason: str, reason: str | None
) -> None:
    """The same rule for corrections and first attempts: an answer may quote options, but not go on with its prompt."""
    assert unfit_answer(text, finish_reason, wording, CurationSection()) == reason


def test_a_correction_that_repeats_its_reflection_is_an_echo() -> None:
    """Such a row would teach the correction to copy; an unlimited echo is allowed by the setting."""
    assert unfit_answer(REFLECTION, "stop", ASKED, CurationSection()) == ANSWER_ECHO
    assert unfit_answer(REFLECTION, "stop", ASKED, CurationSection(max_echo=1.0)) is None


def test_d_plus_records_why_a_correction_is_left_out() -> None:
    """A reflection may be flawless while its correction was cut; an operator's accept concerns the reflection alone."""
    candidates = [
        candidate(1, correction_text="Answer: 42", correction_finish_reason="stop"),
        candidate(2, correction_text="I add", correction_finish_reason="length"),
        candidate(3, correction_text="I add", correction_finish_reason="length", review="accept"),
        candidate(4, correction_text="one two three " * 9, correction_finish_reason="stop"),
        candidate(
            5,
            correction_text="Solve it at once and show work.",
            correction_wording=PromptWording("Solve it at once and show work."),
        ),
    ]
    reasons = {row.reflection_id: row.reason for row in d_plus(candidates, CurationSection(), 0)}
    assert reasons == {1: "included", 2: ANSWER_TRUNCATED, 3: ANSWER_TRUNCATED, 4: ANSWER_REPETITION, 5: ANSWER_ECHO}


def test_an_answer_made_of_the_symbols_of_its_question_is_no_echo() -> None:
    """Sorted letters, restated questions and docstrings are right answers, not answers that run on."""
    sort = attempt_wording(Problem("Sort the letters: c c b b a a d d e e", "End with 'Answer:' and the letters."))
    assert unfit_answer("Answer: a a b b c c d d e e", "stop", sort, CurationSection()) is None
    program = attempt_wording(
        Problem("Write a function that adds all numbers of a list.", "Reply with one fenced Python program.")
    )
    docstring = '"""Write a function that adds all numbers of a list."""'
    reply = f"```python\ndef total(xs):\n    {docstring}\n    return sum(xs)\n```"
    assert unfit_answer(reply, "stop", program, CurationSection()) is None
