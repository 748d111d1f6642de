"""Tests of the analysis of controls by simulation: who is called helped, how often, and what is said of little."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.evaluation.control_analysis import ControlAnalysis, analyse_controls
from store.evaluation.control_arms import ARMS, SHUFFLED, Arm
from store.evaluation.control_measurement import ArmAnswer
from store.evaluation.control_sentence import Contrast, conclude

Answers = dict[str, dict[int, ArmAnswer]]


def simulate(
    random: Random,
    n: int,
    *,
    tasks: int = 4,
    right: float = 0.4,
    content: float = 0.0,
    noise: float = 0.3,
    floor: float,
) -> ControlAnalysis:
    """Analyse a simulated policy whose arms are right with probability `right`, and `own` with `content` more.

    With probability `noise` an answer is drawn anew for each arm, otherwise it is the same in all arms.
    """
    same = [random.random() < right for _ in range(n)]

    def arm(more: float) -> dict[int, ArmAnswer]:
        found = {}
        for question in range(n):
            correct = random.random() < right if random.random() < noise else same[question]
            correct = correct or random.random() < more / (1 - right)
            found[question] = ArmAnswer(correct, "right" if correct else "wrong")
        return found

    answers = {
        name: arm(content if name.startswith("own") else 0.0) for name in ("own", "own-repeat", "none", *SHUFFLED)
    }
    of_task = {question: f"task {question % tasks}" for question in range(n)}
    return analyse_controls(answers, of_task, dict.fromkeys(range(n), floor))


@pytest.mark.parametrize(
    ("n", "noise"), [(1, 1.0), (2, 0.15), (6, 1.0), (12, 0.15), (12, 1.0), (57, 0.15), (57, 1.0), (400, 0.15)]
)
def test_a_policy_that_ignores_its_reflections_is_not_called_helped(n: int, noise: float) -> None:
    """Above its floor, and its answers don't depend on what the reflections say: at most 5 of 100."""
    random = Random(n)
    found = Counter(simulate(random, n, noise=noise, floor=0.1).conclusion for _ in range(100))
    assert found["helps"] <= 5, found


@pytest.mark.parametrize("noise", [0.1, 0.7])
def test_ten_points_of_content_are_found(noise: float) -> None:
    """At n = 400, in at least 90 of 100 runs."""
    random = Random(9)
    found = Counter(simulate(random, 400, content=0.1, noise=noise, floor=1 / 3).conclusion for _ in range(100))
    assert found["helps"] >= 90, found


@pytest.mark.parametrize("content", [0.0, 0.1])
def test_nothing_is_called_helpful_that_equals_its_floor(content: float) -> None:
    """Guessing another answer would be right as often, so neither the content nor being asked again helps."""
    random = Random(21)
    runs = [simulate(random, 200, right=0.4, content=content, floor=0.4 + content) for _ in range(100)]
    found = Counter(run.conclusion for run in runs)
    assert found["helps"] + found["asked-again"] <= 5, found


def test_below_guessing_is_said() -> None:
    """Even if the content makes a difference."""
    found = simulate(Random(3), 400, right=0.2, content=0.1, floor=0.5)
    assert (found.conclusion, found.sentence) == ("below-guessing", "below guessing another answer")


def test_no_difference_is_said_only_with_what_could_be_shown() -> None:
    """Many questions without a difference say that the content does not help, few say nothing but their power."""
    many, few = simulate(Random(1), 400, floor=0.1), simulate(Random(1), 40, floor=0.1)
    assert many.conclusion == "asked-again"
    assert many.sentence.startswith("being asked again helps, what they say does not: n = 400 shows differences of ")
    assert few.conclusion == "cannot-tell" and few.sentence.startswith("can't tell: n = 40 shows differences of ")
    random = Random(8)
    for run in (simulate(random, n, floor=0.1) for n in (1, 3, 8, 30, 90, 250) for _ in range(10)):
        if run.conclusion in ("asked-again", "cannot-tell"):
            assert " shows differences of " in run.sentence or "too small to show any difference" in run.sentence


def test_the_demo_is_what_it_was_measured_to_be() -> None:
    """57 wrong answers, 52 answered alike with another question's reflection: n = 57 shows 13 points or more."""
    own = {number: ArmAnswer(number < 32, "right" if number < 32 else "wrong") for number in range(57)}
    changed = {30: True, 31: True, 32: False, 33: False, 34: False}
    other = {
        number: ArmAnswer(not one.correct, "other") if number in (30, 31, 32, 33) else ArmAnswer(one.correct, "x")
        for number, one in own.items()
    }
    assert len(changed) == 5
    none = {number: ArmAnswer(number < 30, one.group) for number, one in own.items()}
    answers: Answers = {"own": own, "own-repeat": own, "none": none, "shuffled-1": other}
    found = analyse_controls(answers, dict.fromkeys(range(57), "a"), dict.fromkeys(range(57), 0.33))
    assert found.conclusion == "cannot-tell" and found.sentence.startswith(
        "can't tell: n = 57 shows differences of 13 "
    )
    assert found.primary["shuffled"].overall.value == 0 and found.primary["shuffled"].p == 1.0


def test_numbers_by_hand() -> None:
    """Two tasks of equal weight, three draws of which one lacks a verdict, and the dependence beyond the repeat."""
    tasks = {1: "a", 2: "a", 3: "b"}
    yes, no, unknown = ArmAnswer(True, "1"), ArmAnswer(False, "2"), ArmAnswer(None, None)
    answers: Answers = {
        "own": {1: yes, 2: no, 3: yes},
        "own-repeat": {1: yes, 2: yes, 3: yes},
        "none": {1: no, 2: no, 3: yes},
        "shuffled-1": {1: yes, 2: no, 3: no},
        "shuffled-2": {1: no, 2: no, 3: no},
        "shuffled-3": {1: no, 2: no, 3: unknown},
        "told": {1: yes, 2: yes, 3: yes},
    }
    found = analyse_controls(answers, tasks, {1: 0.5, 2: 0.5, 3: 0.25})
    assert list(found.arms) == ["own", "own-repeat", "none", *SHUFFLED, "shuffled", "told"]
    own, shuffled = found.arms["own"], found.arms["shuffled"]
    assert (own.overall.value, own.overall.n, own.by_task["a"].value) == (0.75, 3, 0.5)
    assert shuffled.overall.value == pytest.approx((1 / 3 / 2 + 0) / 2) and shuffled.unverified == 1
    assert found.primary["shuffled"].overall.value == pytest.approx(((2 / 3) / 2 + 1) / 2)
    assert found.primary["none"].overall.value == pytest.approx((0.5 + 0) / 2) and found.primary["none"].p == 1.0
    assert found.primary["floor"].overall.value == pytest.approx((0 + 0.75) / 2)
    assert found.floor.value == pytest.approx((0.5 + 0.25) / 2)
    assert found.secondary["told"].overall.value == pytest.approx(-0.25) and found.secondary["told"].p_holm is None
    assert found.dependence.differs_shuffled == pytest.approx(((2 / 3 + 0) / 2 + 1) / 2)
    assert found.dependence.differs_repeat == pytest.approx(0.25)
    assert found.dependence.overall.value == pytest.approx(found.dependence.differs_shuffled - 0.25)
    for one in found.primary.values():
        assert one.p is not None and one.p_holm is not None and one.p <= one.p_holm <= 1
    assert found.sentence == "can't tell: n = 3 is too small to show any difference"


def one_arm(answers: Mapping[int, bool | None]) -> dict[int, ArmAnswer]:
    return {question: ArmAnswer(right, "x") for question, right in answers.items()}


@pytest.mark.parametrize(
    ("answers", "reasons", "sentence"),
    [
        ({}, {}, "can't tell: no first answer was wrong, so there is nothing to correct"),
        ({"own": {}, "none": {}}, {}, "can't tell: no first answer was wrong, so there is nothing to correct"),
        ({"own": one_arm({1: True}), "none": one_arm({1: False})}, {}, "can't tell: the arm shuffled was not measured"),
        (
            {"own": one_arm({1: True}), "none": one_arm({1: False})},
            {"shuffled-1": "every wrong answer of the task is the same, so reflections can't be shuffled"},
            "can't tell: every wrong answer of the task is the same, so reflections can't be shuffled",
        ),
        (
            {"own": one_arm({1: None}), "none": one_arm({1: False}), "shuffled-1": one_arm({1: True})},
            {},
            "can't tell: no correction of the arm own has a verdict",
        ),
        (
            {"own": one_arm({1: True}), "none": one_arm({1: False}), "shuffled-1": one_arm({1: False})},
            {},
            "can't tell: n = 1 is too small to show any difference",
        ),
    ],
)
def test_too_little_is_said_in_words(answers: Answers, reasons: dict[str, str], sentence: str) -> None:
    """No wrong answer, one question, an arm without answers, reflections that can't be shuffled."""
    found = analyse_controls(answers, {1: "a"}, {1: 0.5}, reasons=reasons)
    assert (found.conclusion, found.sentence) == ("cannot-tell", sentence)
    json.dumps(found.as_json(), allow_nan=False)


def test_a_missing_floor_allows_no_praise() -> None:
    """Without floors nothing is known to be above guessing, and the note says so."""
    questions = range(60)
    answers: Answers = {
        "own": one_arm(dict.fromkeys(questions, True)),
        "none": one_arm(dict.fromkeys(questions, False)),
        "shuffled-1": one_arm(dict.fromkeys(questions, False)),
    }
    found = analyse_controls(answers, dict.fromkeys(questions, "a"), {})
    assert found.conclusion == "cannot-tell" and "60 of 60 questions have no floor" in found.sentence
    praised = analyse_controls(answers, dict.fromkeys(questions, "a"), dict.fromkeys(questions, 0.5))
    assert praised.sentence == "what the reflections say helps"


def test_wrong_input_is_named() -> None:
    """An arm that doesn't exist, a question without a task, a floor that is no probability."""
    for answers, floor, words in (
        ({"ours": {}}, {}, "no control arm 'ours'"),
        ({"own": one_arm({7: True})}, {}, "question 7"),
        ({"own": {}}, {1: 1.5}, "not a probability"),
    ):
        with pytest.raises(ValueError, match=words):
            analyse_controls(answers, {1: "a"}, floor)


@given(
    st.dictionaries(
        st.sampled_from(list(ARMS)),
        st.dictionaries(
            st.integers(0, 8), st.builds(ArmAnswer, st.sampled_from([True, False, None]), st.sampled_from(["a", None]))
        ),
    ),
    st.dictionaries(st.integers(0, 8), st.floats(0, 1)),
)
@settings(max_examples=60, deadline=None)
def test_any_answers_are_analysed(answers: dict[str, dict[int, ArmAnswer]], floor: dict[int, float]) -> None:
    """Whatever is missing, nothing is divided by zero, and so little never helps."""
    found = analyse_controls(answers, {question: "ab"[question % 2] for question in range(9)}, floor)
    json.dumps(found.as_json(), allow_nan=False)
    assert found.sentence.strip() and found.notes == tuple(dict.fromkeys(found.notes))
    for mean in [one.overall for one in (*found.arms.values(), *found.primary.values(), found.dependence)]:
        assert (mean.n == 0) == (mean.value is None)
        if mean.value is not None and mean.low is not None and mean.high is not None:
            assert mean.low < mean.high and mean.low - 1e-9 <= mean.value <= mean.high + 1e-9


def test_the_rule_of_the_sentence() -> None:
    """Each conclusion from intervals, and what is added where a benefit over the retry isn't shown."""

    def contrast(value: float, half: float = 0.04, smallest: float = 0.06) -> Contrast:
        return Contrast(value, value - half, value + half, 400, smallest)

    def found(shuffled: float, none: float, floor: float) -> str:
        return conclude(shuffled=contrast(shuffled), none=contrast(none), floor=contrast(floor))[1]

    shows = "n = 400 shows differences of 6.0 points or more"
    assert found(0.1, 0.1, 0.1) == "what the reflections say helps"
    assert (
        found(0.1, 0.02, 0.1)
        == f"what the reflections say helps; a benefit over being asked again is not shown: {shows}"
    )
    assert found(0.1, 0.1, -0.1) == "below guessing another answer"
    assert found(0.1, 0.1, 0.0) == f"can't tell: not shown to be above guessing another answer, {shows}"
    assert found(0.0, 0.0, 0.0) == f"can't tell: {shows}"
    assert found(0.0, 0.1, 0.1) == f"being asked again helps, what they say does not: {shows}"
    assert found(0.1, -0.1, 0.1) == f"being asked again helps, what they say does not: {shows}"
    assert found(0.08, 0.1, 0.1) == "what the reflections say helps"
    unsure = conclude(shuffled=contrast(0.05, 0.09, 0.12), none=contrast(0.1), floor=contrast(0.1))[1]
    assert unsure == "can't tell: n = 400 shows differences of 12 points or more"


def test_the_names_of_the_arms_are_in_one_place() -> None:
    """The type and the registry list the same arms."""
    assert set(get_args(Arm)) == set(ARMS) and set(SHUFFLED) <= set(ARMS)
