"""Tests of estimates with further samples, the general instruction and reflections on right attempts."""

from __future__ import annotations

import pytest

from store.estimates.formulas import Owed
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


@pytest.mark.parametrize("protocol", ["oracle", "oracle-free", "both"])
def test_the_repeated_measurement_of_the_base_policy_by_hand(protocol: str) -> None:
    """Its 10 questions, half of them wrong, are answered, reflected on and corrected once more in the first iteration,
    under the protocol that decides.
    """
    measured = {"retry_baseline": False, "protocol": protocol}
    plain, again = estimated(evaluation=measured), estimated(evaluation={**measured, "repeat": True})
    chains = 10 if protocol == "oracle-free" else 5
    before, after = numbers(stage(plain, "evaluate")), numbers(stage(again, "evaluate"))
    assert after[0] == (before[0] or 0) + 10 + 2 * chains
    assert after[2] == (before[2] or 0) + 10 * 50 + chains * (80 + 40)
    assert again.later[5] == plain.later[5], "a later iteration measures no base policy"


@pytest.mark.parametrize(("repeats", "texts"), [(True, 20 + 20 + 20), (False, 20 + 20)])
def test_at_the_gate_the_base_policy_is_repeated_if_it_is_still_to_be_measured(repeats: bool, texts: int) -> None:
    owed = Owed(policies=2, repeats=repeats)
    found = estimated(owed=owed, evaluation={"retry_baseline": False, "repeat": True})
    assert numbers(stage(found, "evaluate"))[0] == texts


@pytest.mark.parametrize(("changes", "none"), [({}, 0), ({"retry_baseline": False}, 1), ({"retry_samples": 3}, 1)])
def test_controls_are_counted_with_the_texts_that_the_evaluation_does_not_have(
    changes: dict[str, object], none: int
) -> None:
    """Of 10 wrong answers of two policies: own again, generic, told and three shuffled reflections; `none` is generated
    where the evaluation has no greedy retry.
    """
    plain = estimated(evaluation=changes)
    found = estimated(evaluation={**changes, "controls": {"enabled": True, "judgement_samples": 0}})
    more = (numbers(stage(found, "evaluate"))[0] or 0) - (numbers(stage(plain, "evaluate"))[0] or 0)
    assert more == 10 * (6 + none)
