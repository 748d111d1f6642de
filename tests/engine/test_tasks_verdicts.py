"""Tests of the verdicts: every reply of the hand-checked lists is graded as a careful teacher would grade it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.tasks import task_type
from engine.tasks.answers.extraction import extract
from engine.tasks.answers.math_equality import compare
from tests.support.choice_pairs import CHOICE_PAIRS, OPTIONS
from tests.support.free_text_pairs import EXACT, F1
from tests.support.math_pairs import MATH_PAIRS


def test_the_lists_are_long_enough() -> None:
    """Verifiers are only as reliable as the lists that they were checked against."""
    assert len(set(MATH_PAIRS)) == len(MATH_PAIRS) >= 150
    assert len(set(CHOICE_PAIRS)) == len(CHOICE_PAIRS) >= 60
    assert len(EXACT) + len(F1) >= 60
    for verdicts in ([right for *_, right in MATH_PAIRS], [right for *_, right in CHOICE_PAIRS]):
        assert min(verdicts.count(True), verdicts.count(False)) >= len(verdicts) // 4


@pytest.mark.parametrize(("reply", "reference", "right"), MATH_PAIRS)
def test_math(reply: str, reference: str, right: bool) -> None:
    """Mathematics is compared by meaning; a similar form alone is wrong."""
    pytest.importorskip("math_verify")
    verification = task_type("math").verify(reply, reference, {})
    assert verification.verdict == ("correct" if right else "incorrect"), verification
    assert bool(verification.rule) == (verification.answer is not None)


@pytest.mark.parametrize(("reply", "letter", "right"), CHOICE_PAIRS)
def test_choice(reply: str, letter: str, right: bool) -> None:
    """One letter counts, in any form; hedging is no answer."""
    verification = task_type("choice").verify(reply, letter, {"letters": "ABCD", "options": OPTIONS})
    assert verification.verdict == ("correct" if right else "incorrect"), verification
    assert bool(verification.rule) == (verification.answer is not None)


@pytest.mark.parametrize(("reply", "references", "right"), EXACT)
def test_free_text(reply: str, references: tuple[str, ...], right: bool) -> None:
    """Without a threshold only an exact match, as SQuAD normalises, is correct."""
    verification = task_type("free_text").verify(reply, references[0], {"references": list(references)})
    assert verification.verdict == ("correct" if right else "incorrect"), verification
    assert verification.score is not None
    assert 0.0 <= verification.score <= 1.0
    assert (verification.detail == "exact match") == right


@pytest.mark.parametrize(("reply", "references", "f1"), F1)
def test_token_f1(reply: str, references: tuple[str, ...], f1: float) -> None:
    """The score is the token F1 against the best reference, whatever the verdict."""
    judge = task_type("free_text").verify
    payload = {"references": list(references), "threshold": 0.6}
    verification = judge(reply, references[0], payload)
    assert verification.score == pytest.approx(f1)
    assert verification.verdict == ("correct" if f1 >= 0.6 else "incorrect")
    assert judge(reply, references[0], {"references": list(references)}).score == pytest.approx(f1)


LATEX = (r"\frac", r"\sqrt", r"\text{", r"\pm", r"\cup", r"\in", " or ", " and ", " cm", r"\boxed{")
PIECES = st.lists(st.sampled_from([*"0123456789.,;:/-+=<>()[]{}$%€ xyi°²½√π", *LATEX]), max_size=12).map("".join)


@settings(max_examples=300, deadline=None)
@given(PIECES, st.sampled_from(["5", "\\frac12", "3, 5", "[1,2)", "x^2+1", "\\text{no}", "10\\%", "x=3"]))
def test_no_answer_stops_the_judging_of_mathematics(answer: str, reference: str) -> None:
    """Every text gets a verdict; a text that equals the reference is correct."""
    pytest.importorskip("math_verify")
    verification = task_type("math").verify(f"Answer: {answer}", reference, {})
    assert verification.verdict in ("correct", "incorrect")
    assert compare(reference, reference).same


@given(st.text(max_size=200), st.sampled_from("ABC"))
def test_no_reply_stops_the_judging_of_texts_and_letters(reply: str, reference: str) -> None:
    """A reply is data: it never raises, and an empty one is never right."""
    for kind, payload in (("choice", {"options": OPTIONS, "letters": "ABCD"}), ("free_text", {})):
        verification = task_type(kind).verify(reply, reference, payload)
        assert verification.verdict in ("correct", "incorrect")
        assert verification.verdict == "incorrect" or verification.answer


def test_a_model_that_repeats_itself_is_read_in_no_time() -> None:
    """A repetitive reply must not delay all others: every form is read in one pass."""
    for loop in ("\\boxed{", "Answer: ", "the answer is ", "```\n", "**", "#### 1  ", "(A) or ", "\\text{"):
        reply = loop * 20_000
        extract(reply, whole_reply=True)
        task_type("choice").verify(reply, "A", {})
        task_type("free_text").verify(reply, "A", {})
