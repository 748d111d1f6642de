"""The sentence on a gain follows from the numbers alone, and none is claimed at the floor or the own retry."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.evaluation.gains import MeasuredPolicy, gain_of
from store.evaluation.intervals import wilson

ORACLE, FREE = "oracle/0123456789", "oracle-free/0123456789"


def share(right: int, n: int = 90) -> dict[str, float | None]:
    interval = wilson(right, n)
    return {"value": right / n, "low": interval.low, "high": interval.high, "n": n}


def floor(value: float | None, by_options: float = 0.0) -> dict[str, float | None]:
    return {"value": value, "low": None, "high": None, "n": 90, "by_options": by_options}


def policy(name: str, second: int, *, at: float | None = 0.3, retry: int | None = 30, n: int = 90) -> MeasuredPolicy:
    return MeasuredPolicy(name, share(20, n), share(second, n), floor(at), None if retry is None else share(retry, n))


def test_the_demo_is_not_called_a_gain_by_reflection() -> None:
    """52.2 % before, 72.2 % after, floor 77.8 %, and the trained policy's own retry reaches 72.2 % too."""
    found = gain_of(policy("p00", 47, at=0.778, retry=50), policy("p01", 65, at=7 / 9, retry=65), ORACLE)
    assert found.verdict == "none"
    assert found.sentence == (
        "Acc@t2 rose from 52.2 % to 72.2 %, but guessing reaches 77.8 % without a model, and asked again without a "
        "reflection p01 reaches 72.2 % as well: this is no gain by reflection."
    )


def test_its_second_iteration_is_not_distinguished_from_no_gain() -> None:
    """84.4 % after, floor 77.8 %, own retry 82.2 %: the interval excludes neither at n = 90."""
    found = gain_of(policy("p01", 65), policy("p02", 76, at=7 / 9, retry=74), ORACLE)
    assert found.verdict == "unclear"
    assert (
        "82.2 %" in found.sentence
        and "77.8 %" in found.sentence
        and found.sentence.endswith("from no gain with n = 90.")
    )


def test_paired_differences_decide_where_there_are_any() -> None:
    """They are narrower than the interval of Acc@t2, and wider where the same questions flip both ways."""
    after = policy("p02", 76, at=0.5, retry=74)
    assert gain_of(policy("p00", 40), after, ORACLE).verdict == "unclear"
    assert gain_of(policy("p00", 40), replace(after, above_parent=0.3, above_retry=0.001), ORACLE).verdict == "gain"
    found = gain_of(policy("p00", 40), replace(after, above_parent=-0.01, above_retry=0.001), ORACLE)
    assert found.verdict == "unclear" and "the difference includes 0" in found.sentence


def test_a_gain_is_above_the_floor_and_the_own_retry() -> None:
    found = gain_of(policy("p00", 40), policy("p01", 80, at=0.6, retry=50), ORACLE)
    assert found.verdict == "gain"
    assert "more than guessing and a retry without a reflection reach" in found.sentence
    assert found.sentence.endswith("the controls show.")


def test_the_controls_have_the_last_word() -> None:
    words = "Being asked again helps, what the reflections say does not."
    assert gain_of(policy("p00", 40), policy("p01", 80), ORACLE, words).sentence.endswith(words)
    assert gain_of(policy("p00", 40), policy("p01", 40), ORACLE, words).sentence.endswith(words)


@pytest.mark.parametrize(
    ("before", "after", "words"), [(50, 50, "stayed at 55.6 %: no gain."), (50, 40, "fell from 55.6 % to 44.4 %")]
)
def test_no_rise_is_no_gain(before: int, after: int, words: str) -> None:
    found = gain_of(policy("p00", before), policy("p01", after), ORACLE)
    assert found.verdict == "none" and words in found.sentence


def test_missing_numbers_are_named() -> None:
    found = gain_of(policy("p00", 40), policy("p01", 80, at=None, retry=None), ORACLE)
    assert found.verdict == "unknown"
    assert "not known (no training questions)" in found.sentence and "was not measured" in found.sentence
    old = MeasuredPolicy("p01", share(20), share(80), None, share(30))
    assert "its floor is not computed" in gain_of(policy("p00", 40), old, ORACLE).sentence
    nothing = MeasuredPolicy("p01", None, None, None, None)
    assert gain_of(policy("p00", 40), nothing, ORACLE).verdict == "unknown"
    assert gain_of(nothing, policy("p02", 80), ORACLE).verdict == "unknown"


def test_one_known_reason_is_enough_against_a_gain() -> None:
    found = gain_of(policy("p00", 40), policy("p01", 60, at=0.9, retry=None), ORACLE)
    assert found.verdict == "none" and "90.0 %" in found.sentence


def test_a_floor_by_options_needs_a_model() -> None:
    """It starts from the policy's own first answers, so it is not reached without a model."""
    after = MeasuredPolicy("p01", share(20), share(30), floor(0.5, 1.0), share(10))
    assert "guessing reaches 50.0 %:" in gain_of(None, after, ORACLE).sentence


def test_without_an_oracle_the_first_answers_are_the_reference() -> None:
    worse = MeasuredPolicy("p01", share(40), share(30), None, None)
    found = gain_of(policy("p00", 20), worse, FREE)
    assert found.verdict == "none" and "its first answers reach 44.4 %" in found.sentence
    better = MeasuredPolicy("p01", share(20), share(70), None, None)
    assert gain_of(policy("p00", 20), better, FREE).verdict == "gain"
    assert gain_of(None, MeasuredPolicy("p01", None, share(70), None, None), FREE).verdict == "unknown"


@given(second=st.integers(0, 90), at=st.floats(0, 1), retry=st.integers(0, 90), start=st.integers(0, 90))
def test_nothing_at_or_below_floor_retry_or_start_is_a_gain(second: int, at: float, retry: int, start: int) -> None:
    found = gain_of(policy("p00", start), policy("p01", second, at=at, retry=retry), ORACLE)
    assert found.sentence.endswith(".") and found.verdict != "unknown"
    if second <= max(retry, start) or second / 90 <= at:
        assert found.verdict == "none"
    if found.verdict == "gain":
        low = wilson(second, 90).low
        assert low > max(at, retry / 90, start / 90)
