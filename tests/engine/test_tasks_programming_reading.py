"""Tests of parsing replies and tests: which program a reply contains, and which value a test expects."""

from __future__ import annotations

import pytest

from engine.tasks.answers.asserts import NO_LITERAL, checks
from engine.tasks.programming import extract_program


@pytest.mark.parametrize(
    ("reply", "source", "rule"),
    [
        ("```python\na = 1\n```", "a = 1", "fence"),
        ("```\na = 1\n```", "a = 1", "fence"),
        ("First:\n```python\na = 1\n```\nBetter:\n```py\na = 2\n```\nOutput:\n```text\n4\n```", "a = 2", "fence"),
        ("```python\ndef f(): pass\n```\nUse it:\n```python\nprint(f())\n```", "def f(): pass", "fence"),
        ("```python\na = 1\n    ```", "a = 1", "fence"),
        ("```python\na = 1", "a = 1", "fence"),
        ("```python\na = = 1\n```", "a = = 1", "fence"),
        ("It is easy.\nAnswer: def f(x): return x", "def f(x): return x", "answer line"),
        ("It is easy.\nAnswer:\ndef f(x):\n    return x", "def f(x):\n    return x", "answer line"),
        ("def f(x):\n    return x\n", "def f(x):\n    return x\n", "whole reply"),
        ("Answer: I don't know", None, ""),
        ("yes", None, ""),
        ("", None, ""),
        ("(" * 100_000, None, ""),
        ("x = " + "-" * 90_000 + "1", None, ""),
    ],
)
def test_the_program_is_found_in_a_reply(reply: str, source: str | None, rule: str) -> None:
    """Tolerant of the form: a code block, an answer line, or only the program."""
    assert extract_program(reply) == (source, rule)


STRONG: list[tuple[str, object, object]] = [
    # test, a value that passes, a value that fails
    ("assert f(1) == 3", 3, 4),
    ("assert f(1) == 3", 3.0, NO_LITERAL),
    ("assert 3 == f(1)", 3, 4),
    ("assert f(1) == -1.5", -1.5, 1.5),
    ("assert f(1) == [1, (2, {'a': None})]", [1, (2, {"a": None})], [1, (2, {})]),
    ("assert (f(1)) == (1, 2)", (1, 2), [1, 2]),
    ("assert f(1) != 3", 4, 3),
    ("assert f(1) != 3", NO_LITERAL, 3.0),
    ("assert f(1) is None", None, 0),
    ("assert f(1) is True", True, 1),
    ("assert f(1) is not None", 0, None),
    ("assert f(1)", True, False),
    ("assert not f(1)", False, True),
    ("assert f(1) < 3", 2, 3),
    ("assert 3 < f(1)", 4, 3),
    ("assert f(1) >= 3", 3, "x"),
    ("assert f(1) in (1, 2)", 2, 3),
    ("assert f(1) not in [1, 2]", 3, 2),
    ("assert set(f(1)) == set([1, 2])", {1, 2}, {1}),
    ("assert sorted(f(1)) == [1, 2]", [1, 2], [2, 1]),
    ("assert len(f(1)) == 2", 2, 3),
    ("assert f(1)[0] == 'a'", "a", "b"),
    ("assert math.isclose(f(1), 3.14, rel_tol=0.01)", 3.15, 3.2),
    ("assert isclose(3.14, f(1))", 3.14, NO_LITERAL),
    ("assert abs(f(1) - 3.14) < 0.01", 3.145, 3.2),
    ("assert abs(3.14 - f(1)) <= 0.01", 3.14, "x"),
    ("assert f(1) == 10**9 + 7", 1_000_000_007, 0),
    ("assert f(1) == float('inf')", float("inf"), 0),
    ("assert f(1) == 1 + 2j", 1 + 2j, 1),
    ("assert f(1) == 3, 'message'", 3, 4),
]


@pytest.mark.parametrize(("test", "right", "wrong"), STRONG, ids=[f"{n} {test}" for n, (test, *_) in enumerate(STRONG)])
def test_the_expected_value_stays_outside(test: str, right: object, wrong: object) -> None:
    """The program computes the value; the expected constant is not part of the call."""
    (check,) = checks(test)
    assert check.strong
    assert check.code.count("(1)") == 1, "the call, and nothing but the call"
    assert not any(part in check.code for part in ("3", "==", "None", "True", "inf", "2"))
    assert check.holds(right)
    assert not check.holds(wrong)


@pytest.mark.parametrize(
    "test",
    [
        "assert f(1) == f(2)",
        "assert same(f(1), 3)",
        "x = f(1)\nassert x == 3",
        "assert f(1) == 10**10**9",
        "assert f(1) % 2 == 0",
        "assert f(1) == 1 or f(1) == 2",
        "for i in range(3): assert f(i) == i",
        "f(1)",
    ],
)
def test_what_can_not_be_taken_apart_runs_as_it_is(test: str) -> None:
    """Flagged as the weaker check, never guessed."""
    (check,) = checks(test)
    assert (check.strong, check.code) == (False, test)
