"""Protects the verdicts: every reply of the hand-checked lists is judged as a careful teacher would."""

from __future__ import annotations

import pytest

from engine.tasks import task_type
from tests.support.choice_pairs import CHOICE_PAIRS, OPTIONS
from tests.support.free_text_pairs import EXACT, F1
from tests.support.math_pairs import MATH_PAIRS


def test_the_lists_are_long_enough() -> None:
    """Verifiers are only as good as what they were checked against."""
    assert len(set(MATH_PAIRS)) == len(MATH_PAIRS) >= 150
    assert len(set(CHOICE_PAIRS)) == len(CHOICE_PAIRS) >= 60
    assert len(EXACT) + len(F1) >= 60
    for verdicts in ([right for *_, right in MATH_PAIRS], [right for *_, right in CHOICE_PAIRS]):
        assert min(verdicts.count(True), verdicts.count(False)) >= len(verdicts) // 4


@pytest.mark.parametrize(("reply", "reference", "right"), MATH_PAIRS)
def test_math(reply: str, reference: str, right: bool) -> None:
    """Mathematics is judged by meaning, and what only looks alike is wrong."""
    pytest.importorskip("math_verify")
    judgement = task_type("math").judge(reply, reference, {})
    assert judgement.verdict == ("correct" if right else "incorrect"), judgement
    assert bool(judgement.rule) == (judgement.answer is not None)


@pytest.mark.parametrize(("reply", "letter", "right"), CHOICE_PAIRS)
def test_choice(reply: str, letter: str, right: bool) -> None:
    """One letter counts, in whatever form; hedging is no answer."""
    judgement = task_type("choice").judge(reply, letter, {"letters": "ABCD", "options": OPTIONS})
    assert judgement.verdict == ("correct" if right else "incorrect"), judgement
    assert bool(judgement.rule) == (judgement.answer is not None)


@pytest.mark.parametrize(("reply", "references", "right"), EXACT)
def test_free_text(reply: str, references: tuple[str, ...], right: bool) -> None:
    """Without a threshold only an exact match, as SQuAD normalises, is correct."""
    judgement = task_type("free_text").judge(reply, references[0], {"references": list(references)})
    assert judgement.verdict == ("correct" if right else "incorrect"), judgement
    assert judgement.score is not None
    assert 0.0 <= judgement.score <= 1.0
    assert (judgement.detail == "exact match") == right


@pytest.mark.parametrize(("reply", "references", "f1"), F1)
def test_token_f1(reply: str, references: tuple[str, ...], f1: float) -> None:
    """The score is the token F1 against the best reference, whatever the verdict."""
    judge = task_type("free_text").judge
    payload = {"references": list(references), "threshold": 0.6}
    judgement = judge(reply, references[0], payload)
    assert judgement.score == pytest.approx(f1)
    assert judgement.verdict == ("correct" if f1 >= 0.6 else "incorrect")
    assert judge(reply, references[0], {"references": list(references)}).score == pytest.approx(f1)
