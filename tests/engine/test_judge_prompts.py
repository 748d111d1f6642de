"""Tests of the judge's prompt and of parsing its reply: no reference answer, symmetric positions, no guesses."""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompts.judge import JUDGE_PROMPT_VERSION, judge_messages, parse_choice
from engine.prompts.rollout import prompt_hash


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("Better: A", "A"),
        ("Better: B", "B"),
        ("  **Better:** b.", "B"),
        ("better: **Reflection B**", "B"),
        ("The better one is reflection B.", "B"),
        ("The better reflection is A", "A"),
        ("A", "A"),
        ("(b)", "B"),
        ("[[A]]", "A"),
        ("Reflection B", "B"),
        ("Both name the mistake, but only one gives a plan.\n\nB", "B"),
        ("A is vague.\nBetter: B", "B"),
        ("Better: A\nOn second thought:\nBetter: B", "B"),
        ("Reflection A is clearly better because it names the step.", "A"),
        ("Answer: (A)", "A"),
        ("<think>Better: A, I think.</think>\nBetter: B", "B"),
        ("", None),
        ("Both are fine.", None),
        ("A or B", None),
        ("Better: A or B", None),
        ("Better: A/B", None),
        ("Better: neither", None),
        ("Better: Beta", None),
        ("The answer is a bit unclear.", None),
        ("Answer: a good one", None),
        ("A student answered the question wrongly.", None),
        ("Reflection A is better. Reflection B is better.", None),
        ("<think>Better: A", None),
        ("End your reply with one line, either 'Better: A' or 'Better: B'. There are no ties.", None),
    ],
)
def test_replies(reply: str, choice: str | None) -> None:
    """Tolerant about form, strict about the choice."""
    assert parse_choice(reply) == choice


@given(st.text(max_size=120))
def test_any_reply_can_be_read(reply: str) -> None:
    """Any text gives a choice or none; it never raises."""
    assert parse_choice(reply) in ("A", "B", None)


def test_swapping_the_reflections_changes_nothing_else() -> None:
    """Both orders must show the same question, or their agreement has no meaning."""
    ((one,), (other,)) = (judge_messages("Q?", "It is 4.", *texts) for texts in (("left", "right"), ("right", "left")))
    assert one["content"].replace("left", "#").replace("right", "left").replace("#", "right") == other["content"]
    for part in ("Q?", "It is 4.", "left", "right"):
        assert one["content"].count(part) == 1


def test_no_reference_answer_can_reach_a_judge() -> None:
    """A judge that knows the answer would rank by it. The prompt contains only what its arguments provide."""
    assert list(inspect.signature(judge_messages).parameters) == ["question", "attempt", "first", "second"]


def test_a_change_of_wording_raises_the_version() -> None:
    """Stored judgements record the version of their prompt. After a change of wording: raise the version, then this
    hash.
    """
    digest = prompt_hash(judge_messages("Q?", "", "one", " two "))[:12]
    assert (JUDGE_PROMPT_VERSION, digest) == ("1", "c63ad66ff66f")
