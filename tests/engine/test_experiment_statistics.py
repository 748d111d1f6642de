"""Tests of the statistics in an experiment's report: means over tasks, paired differences, and parts that add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflectevo_tui.experiment.paired_estimates import (
    NOTHING,
    Outcomes,
    format_split,
    mean_over_seeds,
    mean_over_tasks,
    paired,
    paired_over_seeds,
    read_share,
)
from store.evaluation.held_out_answers import HeldOutAnswer, outcomes_at
from store.records import Verdict

VERDICTS: st.SearchStrategy[Verdict] = st.sampled_from(["correct", "incorrect", "unverified"])
PROTOCOL = "oracle/0123456789"


def held_out(number: int, task: str, first: Verdict, second: Verdict | None, read: bool = True) -> HeldOutAnswer:
    # A right answer was read.
    return HeldOutAnswer(
        number, task, first, second, read or first == "correct", None if second is None else read or second == "correct"
    )


def test_each_task_weighs_the_same() -> None:
    """Each task has equal weight, whatever its size."""
    tasks = {1: "a", 2: "b", 3: "b", 4: "b"}
    assert mean_over_tasks({1: 1.0, 2: 0.0, 3: 0.0, 4: 0.0}, tasks).value == 0.5
    assert mean_over_tasks({}, tasks).value is None
    found = paired({1: 0, 2: 0, 3: 1, 4: 0}, {1: 1, 2: 1, 3: 1, 4: 1}, tasks)
    assert found.overall.value == pytest.approx((1 + 2 / 3) / 2)
    assert found.by_task["b"].value == pytest.approx(2 / 3)
    assert found.overall.p == 0.25, "three gained, none lost"


def test_a_small_task_is_not_outweighed_by_a_large_one() -> None:
    """The large task lost 10 of 100, the small one gained 1 of 2: the mean over tasks rises, all questions fall."""
    tasks = dict.fromkeys(range(100), "large") | {200: "small", 201: "small"}
    before = {question: float(question < 100) for question in tasks}
    after = {question: float(10 <= question < 100 or question == 200) for question in tasks}
    found = paired(before, after, tasks).overall
    assert found.value == pytest.approx((-0.1 + 0.5) / 2) and found.n == 102
    assert found.low is not None and found.high is not None and found.low <= found.value <= found.high
    assert sum(after.values()) < sum(before.values())


def test_several_seeds_count_with_their_mean_and_without_a_p() -> None:
    """A question that one seed of two answers right is half right, which McNemar's test can't represent."""
    seeds: list[Outcomes] = [{1: True, 2: True, 3: False}, {1: True, 2: False}]
    found = paired_over_seeds([{1: 0, 2: 0}], seeds, {1: "a", 2: "a"}).overall
    assert found.value == 0.75 and found.p is None and found.n == 2
    assert found.seeds == (1.0, 0.5), "question 3 has an outcome under one seed only"
    assert mean_over_seeds(seeds, {1: "a", 2: "a"}).seeds == (1.0, 0.5)
    assert mean_over_seeds([], {}) == NOTHING and paired_over_seeds([], [], {}).overall.value is None
    with pytest.raises(ValueError):
        paired_over_seeds(seeds, [*seeds, {1: 0}], {1: "a", 2: "a"})


def test_three_seeds_that_differ_have_an_interval_as_wide_as_the_seeds_make_it() -> None:
    """25.2, 25.0 and 33.5 points: the interval of three seeds is 16 to 40, however many questions there are."""
    tasks = dict.fromkeys(range(1000), "a")
    seeds = [{question: float(question < right) for question in tasks} for right in (252, 250, 335)]
    found = mean_over_seeds(seeds, tasks)
    assert found.value == pytest.approx(0.279) and found.seeds == (0.252, 0.25, 0.335)
    assert found.low == pytest.approx(0.155, abs=0.006) and found.high == pytest.approx(0.403, abs=0.006)


@given(
    st.lists(st.tuples(VERDICTS, st.booleans(), VERDICTS, st.booleans()), max_size=14),
    st.sampled_from([1, 2]),
    st.booleans(),
)
def test_format_and_the_rest_add_up_to_the_difference(
    pairs: list[tuple[Verdict, bool, Verdict, bool]], turn: int, oracle: bool
) -> None:
    """No part of a gain is counted twice or lost; the verdicts are those of the turn in question."""

    def answers(first: bool) -> list[HeldOutAnswer]:
        found = []
        for number, pair in enumerate(pairs):
            verdict, read = pair[:2] if first else pair[2:]
            found.append(held_out(number, "a", verdict if turn == 1 else "incorrect", verdict, read))
        return found

    before, after = answers(True), answers(False)
    split = format_split(before, after, turn=turn, oracle=oracle)
    protocol = PROTOCOL if oracle else "oracle-free/x"
    whole = paired(
        outcomes_at(before, turn, protocol), outcomes_at(after, turn, protocol), dict.fromkeys(range(len(pairs)), "a")
    ).overall
    assert split.n == whole.n
    assert split.by_format + split.by_the_rest == pytest.approx(whole.value or 0)
    judged, read, right = read_share(after, turn=turn, oracle=oracle)
    assert right <= read <= judged


def test_a_gain_by_format_is_named() -> None:
    """Unreadable before and right now is format; readable, wrong before and right now is not."""
    before = [held_out(1, "a", "incorrect", None, read=False), held_out(2, "a", "incorrect", None)]
    after = [held_out(1, "a", "correct", None), held_out(2, "a", "correct", None)]
    split = format_split(before, after, turn=1, oracle=True)
    assert (split.by_format, split.by_the_rest) == (0.5, 0.5)
    lost = format_split(after, before, turn=1, oracle=True)
    assert (lost.by_format, lost.by_the_rest) == (-0.5, -0.5)
