"""Tests of answer extraction: every usual form is read, and never as a different answer."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.tasks.answers.extraction import cleaned, extract, last_boxed, lettered_options, number, plain_number

PLAIN = st.text(alphabet="abcxyz0123456789 /-+", min_size=1, max_size=12).map(str.strip).filter(bool)
WRAPPINGS = (
    "{}",
    "**{}**",
    "`{}`",
    "${}$",
    "$${}$$",
    "\\({}\\)",
    "<{}>",
    '"{}"',
    "**`{}`**",
    "{}.",
    "**{}**.",
    "\\text{{{}}}",
)


@pytest.mark.parametrize(
    ("reply", "answer", "rule"),
    [
        ("Answer: 5", "5", "answer line"),
        ("**Answer:** B", "B", "answer line"),
        ("**Answer: B**", "B", "answer line"),
        ("Final answer: $5$.", "5", "answer line"),
        ("## Answer\n5\n", "5", "answer line"),
        ("Answer:\n\n```\n5\n```\nDone.", "5", "answer line"),
        ("Answer: \\boxed{\\frac{1}{2}}", "\\frac{1}{2}", "boxed"),
        ("The set is \\boxed{\\{1, 2\\}}.", "\\{1, 2\\}", "boxed"),
        ("The answer is 3.5. So it is.", "3.5", "phrase"),
        ("Code:\n```python\nx = 1\n```", "x = 1", "fence"),
        ("ANSWER : no", "no", "answer line"),
    ],
)
def test_reads_every_usual_form(reply: str, answer: str, rule: str) -> None:
    """A right answer isn't lost because of its markup."""
    found = extract(reply)
    assert (found.answer, found.rule) == (answer, rule)


@pytest.mark.parametrize("reply", ["", "I don't know.", "Answer:", "Answer:\n\n", "\\boxed{", "\\boxed{}", "42"])
def test_invents_no_answer(reply: str) -> None:
    """A reply without a marked answer has none, even when it contains a number."""
    assert extract(reply) == (None, "", None)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("Answer: 4\nWait, I misread it.\nAnswer: 5", "5"),
        ("So \\boxed{4}. No: Answer: 5", "5"),
        ("Answer: 4. No, it is \\boxed{5}", "5"),
        ("The answer is 4. Sorry, the answer is 5.", "5"),
        ("\\boxed{3} or \\boxed{5}", "5"),
    ],
)
def test_the_last_answer_counts(reply: str, answer: str) -> None:
    """The last answer of a model that corrects itself is graded."""
    assert extract(reply).answer == answer


def test_multiline_answers_run_to_the_end() -> None:
    """A grid below the marker is one answer."""
    assert extract("Answer:\n1 2\n3 4\n", multiline=True).answer == "1 2\n3 4"
    assert extract("Answer:\n1 2\n3 4\n").answer == "1 2"


@given(PLAIN, st.sampled_from(WRAPPINGS), st.sampled_from(("Answer: {}", "So it is.\n\n**Answer:** {}\n")))
def test_markup_never_changes_the_answer(answer: str, wrapping: str, line: str) -> None:
    """Whatever markup surrounds an answer, the same answer is read."""
    assert extract(line.format(wrapping.format(answer))).answer == answer


@given(st.text(max_size=200))
def test_any_text_is_safe(reply: str) -> None:
    """No reply raises, and cleaning is idempotent."""
    found = extract(reply)
    assert (found.answer is None) == (found.rule == "")
    assert cleaned(cleaned(reply)) == cleaned(reply)


@given(st.recursive(PLAIN, lambda inner: inner.map(lambda text: "{" + text + "}"), max_leaves=4))
def test_boxes_keep_their_braces(content: str) -> None:
    """Braces inside a box never end it early."""
    assert last_boxed(f"a \\boxed{{1}} b \\boxed{{{content}}} c}}") == content


def test_options_inside_a_question() -> None:
    """LogiQA has its options in the text, not always in order."""
    assert lettered_options("Which?\nA.F\nC.J\nB.G\nD.N") == {"A": "F", "B": "G", "C": "J", "D": "N"}
    assert lettered_options("A. Smith said no.") == {}


@pytest.mark.parametrize(
    ("text", "value", "plain"),
    [
        ("1,000", "1000", True),
        (r"\$1{,}000.50", "1000.5", True),
        ("$5$.", "5", True),
        ("-.5", "-0.5", True),
        (r"1\!000", "1000", True),
        (r"\frac12", "1/2", False),
        (r"-\dfrac{3}{4}", "-3/4", False),
        ("3 / 4", "3/4", False),
        ("x = 4", "4", False),
        ("y = -1/2", "-1/2", False),
        ("1/0", None, False),
        ("1,00", None, False),
        ("x + 1", None, False),
        ("-", None, False),
        ("", None, False),
    ],
)
def test_a_number_has_one_value_however_it_is_written(text: str, value: str | None, plain: bool) -> None:
    """Votes are counted by value, and a reflection can reveal a number in any of its decimal forms."""
    expected = None if value is None else Fraction(value)
    assert number(text) == expected
    assert plain_number(text) == (expected if plain else None)


@given(st.text(max_size=20))
def test_any_text_is_a_number_or_none(text: str) -> None:
    """Any text can be an answer; a plain number is read as a number."""
    assert plain_number(text) in (None, number(text))
