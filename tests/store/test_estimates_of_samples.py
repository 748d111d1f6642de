"""Tests of estimates with further samples, the general instruction and reflections on right attempts."""

from __future__ import annotations

import pytest

from tests.store.test_estimates import estimated, numbers, stage


def test_further_samples_by_hand() -> None:
    """100 questions, half of them wrong, 4 reflections each: m = 3 corrections with each, and 3 tries without."""
    found = estimated(attempt={"samples": 2}, correction={"samples": 3, "temperature": 0.7})
    assert numbers(stage(found, "attempt"))[0] == 300
    assert numbers(stage(found, "reflect"))[0] == 200
    assert numbers(stage(found, "correct"))[0] == 200 * 3 + 50 * 3
    assert numbers(stage(found, "curate"))[0] == 250, "further samples are no trajectories"
    more, plain = found.database_bytes.value, estimated().database_bytes.value
    assert more is not None and plain is not None and more > plain


@pytest.mark.parametrize(
    ("instructions", "reflections"),
    [("general", 100), (["1-1-1", "general"], 200), ("random:2+general", 300), ("all+general", 50 * 33 * 2)],
)
def test_the_general_instruction_counts_as_one(instructions: object, reflections: int) -> None:
    """Each instruction is asked twice of 50 wrong attempts."""
    found = estimated(reflection={"instructions": instructions, "samples": 2})
    assert numbers(stage(found, "reflect"))[0] == reflections


def test_reflecting_on_right_attempts_too_by_hand() -> None:
    """All 100 attempts are reflected on; each makes four trajectories."""
    found = estimated(reflection={"instructions": "random:2", "samples": 2, "on": "all"})
    assert numbers(stage(found, "reflect"))[0] == numbers(stage(found, "correct"))[0] == 400
    assert numbers(stage(found, "curate"))[0] == 400
