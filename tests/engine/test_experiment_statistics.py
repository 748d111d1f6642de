"""Protects the numbers of an experiment's report: equal to the engine's where both compute them, and adding up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.answers import Answer, Answered
from engine.evaluation.metrics import mean_over_tasks as engine_mean
from reflectevo_tui.experiment.paired_estimates import format_split, mean_of_seeds, mean_over_tasks, paired, read_share
from store.evaluation.held_out_answers import HeldOutAnswer, outcomes_at
from store.records import Verdict

VERDICTS: st.SearchStrategy[Verdict] = st.sampled_from(["correct", "incorrect", "unverified"])
ANSWERS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), VERDICTS, st.none() | VERDICTS, VERDICTS, st.none() | VERDICTS),
    max_size=14,
)
PROTOCOL = "oracle/0123456789"


def held_out(number: int, task: str, first: Verdict, second: Verdict | None, read: bool = True) -> HeldOutAnswer:
    # A right answer was read.
    return HeldOutAnswer(
        number, task, first, second, read or first == "correct", None if second is None else read or second == "correct"
    )


def answered(number: int, task: str, first: Verdict, second: Verdict | None) -> Answered:
    return Answered(number, task, (Answer(first),) if second is None else (Answer(first), Answer(second)))


@given(ANSWERS, st.integers(1, 2), st.integers(0, 3))
def test_the_mean_over_tasks_is_the_engines(
    pairs: list[tuple[str, Verdict, Verdict | None, Verdict, Verdict | None]], turn: int, seed: int
) -> None:
    """Any verdicts at both turns: value, interval, n; and each task's difference alone."""
    tasks = {number: pair[0] for number, pair in enumerate(pairs)}
    before = outcomes_at([held_out(n, pair[0], pair[1], pair[2]) for n, pair in enumerate(pairs)], turn, PROTOCOL)
    after = outcomes_at([held_out(n, pair[0], pair[3], pair[4]) for n, pair in enumerate(pairs)], turn, PROTOCOL)
    ours = paired(before, after, tasks, seed).overall
    theirs = engine_mean(
        [answered(n, pair[0], pair[1], pair[2]) for n, pair in enumerate(pairs)],
        [answered(n, pair[0], pair[3], pair[4]) for n, pair in enumerate(pairs)],
        turn=turn,
        seed=seed,
    )
    assert (ours.value, ours.low, ours.high, ours.n) == pytest.approx((theirs.value, theirs.low, theirs.high, theirs.n))


def test_each_task_weighs_the_same() -> None:
    """Whatever its size."""
    tasks = {1: "a", 2: "b", 3: "b", 4: "b"}
    assert mean_over_tasks({1: 1.0, 2: 0.0, 3: 0.0, 4: 0.0}, tasks).value == 0.5
    assert mean_over_tasks({}, tasks).value is None
    found = paired({1: 0, 2: 0, 3: 1, 4: 0}, {1: 1, 2: 1, 3: 1, 4: 1}, tasks)
    assert found.overall.value == pytest.approx((1 + 2 / 3) / 2)
    assert found.by_task["b"].value == pytest.approx(2 / 3)
    assert found.overall.p == 0.25, "three gained, none lost"


def test_several_seeds_count_with_their_mean_and_without_a_p() -> None:
    """A question that one seed of two answers right is half right; McNemar's test has no word for that."""
    mean = mean_of_seeds([{1: True, 2: True, 3: False}, {1: True, 2: False}])
    assert mean == {1: 1.0, 2: 0.5}
    found = paired({1: 0, 2: 0}, mean, {1: "a", 2: "a"})
    assert found.overall.value == 0.75 and found.overall.p is None
    assert mean_of_seeds([]) == {}


@given(
    st.lists(st.tuples(VERDICTS, st.booleans(), VERDICTS, st.booleans()), max_size=14),
    st.sampled_from([1, 2]),
    st.booleans(),
)
def test_format_and_the_rest_add_up_to_the_difference(
    pairs: list[tuple[Verdict, bool, Verdict, bool]], turn: int, oracle: bool
) -> None:
    """Nothing of a gain is counted twice or lost; the verdicts are those of the turn that is looked at."""

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
