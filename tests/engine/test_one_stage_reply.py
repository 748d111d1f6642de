"""Tests of dividing a one-stage reply into its reflection and its second try."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.prompts.one_stage_reply import no_second_try, split_one_stage
from engine.prompts.rollout import SECOND_TRY, one_stage_beginning, one_stage_completion


@pytest.mark.parametrize(
    ("reply", "reflection", "correction"),
    [
        ("I was off by one.\n\nSecond try:\nAnswer: 4", "I was off by one.", "Answer: 4"),
        ("Off by one.\nSecond try: Answer: 4", "Off by one.", "Answer: 4"),
        ("Off by one.\n**Second try:**\nAnswer: 4", "Off by one.", "Answer: 4"),
        ("Off by one.\n## second try:\nAnswer: 4", "Off by one.", "Answer: 4"),
        ("Off by one.\r\nSECOND TRY:\r\nAnswer: 4", "Off by one.", "Answer: 4"),
        ("Second try:\nAnswer: 4", "", "Answer: 4"),
        ("Off by one.\nSecond try:", "Off by one.", ""),
        # The first line divides: what follows is one answer, also if it repeats the line.
        ("Off.\nSecond try:\nAnswer: 3\nSecond try:\nAnswer: 4", "Off.", "Answer: 3\nSecond try:\nAnswer: 4"),
        # A sentence that mentions it is no line of its own.
        ("On my second try: I would count again.\nSecond try:\nAnswer: 4", "On my second try: I would count again.",
         "Answer: 4"),
        ("Off by one. Answer: 4", "Off by one. Answer: 4", None),
        ("A second try should count again.", "A second try should count again.", None),
        ("", "", None),
    ],
)  # fmt: skip
def test_a_reply_is_divided_at_its_second_try(reply: str, reflection: str, correction: str | None) -> None:
    """Small models decorate the line; one that only mentions a second try does not begin it."""
    parts = split_one_stage(reply)
    assert (parts.reflection, parts.correction) == (reflection, correction)


_PART = st.text(min_size=1, max_size=60).filter(lambda text: split_one_stage(text).correction is None)


@given(_PART, _PART)
def test_what_is_trained_on_is_divided_into_its_parts(reflection: str, attempt: str) -> None:
    """A policy that repeats its training target must be read as it was taught."""
    parts = split_one_stage(one_stage_completion(reflection, attempt))
    assert (parts.reflection, parts.correction) == (reflection.strip(), attempt.strip())
    assert one_stage_completion(reflection, attempt).startswith(one_stage_beginning(reflection))


@given(st.text(max_size=200), st.integers(0, 5000))
def test_the_tokens_of_the_parts_add_up_to_those_of_the_reply(reply: str, tokens: int) -> None:
    """Token budgets of the baselines are sums over both rows."""
    first, second = split_one_stage(reply).tokens(tokens)
    assert first >= 0 and second >= 0 and first + second == tokens
    with_line = split_one_stage(f"{reply}\n{SECOND_TRY}\n{reply}").tokens(tokens)
    assert sum(with_line) == tokens


def test_the_cost_of_dividing_grows_with_the_reply_only() -> None:
    """Hostile replies of decorations must not stall a rollout."""
    for hostile in ("*" * 200_000, "* " * 100_000, "second " * 50_000, "\n> " * 60_000, "second" + " " * 200_000):
        assert split_one_stage(hostile).correction is None


def test_a_missing_line_is_explained() -> None:
    """An operator sees whether the limit of tokens or the policy is the reason."""
    assert "limit of 900 tokens" in no_second_try("length", 900)
    assert "no line 'Second try:'" in no_second_try("stop", 900)
