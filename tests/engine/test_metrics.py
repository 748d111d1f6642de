"""Tests of the metrics that decide about a policy: known values, correct denominators, flips in both directions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.answer_outcomes import Answer, Feedback, QuestionAnswers
from engine.evaluation.metrics import NOTHING, Metric, accuracy, evaluate, mean
from store.evaluation.intervals import mcnemar_exact, wilson
from store.records import Verdict

VERDICTS: tuple[Verdict, ...] = ("correct", "incorrect", "unverified")
SECOND: tuple[Verdict | None, ...] = (*VERDICTS, None)
FEEDBACKS: tuple[Feedback, ...] = ("oracle", "oracle-free")


def times(count: int, t1: Verdict, t2: Verdict | None) -> list[tuple[Verdict, Verdict | None]]:
    return [(t1, t2)] * count


def row(number: int, task: str, t1: Verdict, *later: Verdict | None, retry: Verdict | None = None) -> QuestionAnswers:
    """The answers to one question by their verdicts, up to the last turn taken."""
    turns = tuple(Answer(verdict) for verdict in (t1, *later) if verdict is not None)
    return QuestionAnswers(number, task, turns, retries=(Answer(retry),) if retry else ())


def answered(*verdicts: tuple[Verdict, Verdict | None]) -> list[QuestionAnswers]:
    return [row(number, "task", t1, t2) for number, (t1, t2) in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662), (0, 0, 0.0, 1.0)],
)
def test_wilson_known_values(successes: int, n: int, low: float, high: float) -> None:
    """81 of 263 is the worked example of Newcombe (1998), table I."""
    interval = wilson(successes, n)
    assert interval.low == pytest.approx(low, abs=1e-4)
    assert interval.high == pytest.approx(high, abs=1e-4)


@given(st.integers(0, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share(counts: tuple[int, int]) -> None:
    """The interval is within 0 to 1 and contains the share."""
    successes, n = counts
    interval = wilson(successes, n)
    assert 0 <= interval.low <= interval.high <= 1
    if n:
        assert interval.low <= successes / n <= interval.high


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 5, 1.0), (0, 6, 0.03125), (1, 9, 0.021484375), (10, 2, 0.03857421875)],
)
def test_mcnemar_known_values(b: int, c: int, p: float) -> None:
    """Exact binomial, two-sided, symmetric."""
    assert mcnemar_exact(b, c) == pytest.approx(p)
    assert mcnemar_exact(c, b) == mcnemar_exact(b, c)


def test_mcnemar_copes_with_thousands_of_flips() -> None:
    """2**n exceeds the range of a float."""
    assert 0 < mcnemar_exact(1400, 1600) < 0.001


def test_a_mean_of_tokens_has_students_interval() -> None:
    """Known values: 8, 10 and 12 have the standard error 2/√3 and t = 4.303; one value has no interval."""
    found = mean([8, 10, 12])
    assert (found.value, found.n) == (10, 3)
    assert found.low == pytest.approx(10 - 4.3027 * 2 / 3**0.5, abs=1e-3)
    assert mean([7]) == Metric(7, None, None, 1) and mean([]) == NOTHING


def test_no_change_of_the_accuracy_is_not_a_point() -> None:
    """Ten questions without a change don't prove that there is none."""
    found = evaluate(answered(*times(5, "correct", None), *times(5, "incorrect", "incorrect"))).delta
    assert found.value == 0 and found.low is not None and found.high is not None
    assert found.low == pytest.approx(-0.2775, abs=1e-4) and found.high == -found.low


def test_nothing_to_count_is_none_not_zero() -> None:
    """Trap 5: no fixed denominator, and no 0 % where nothing was measured."""
    assert accuracy([]) == NOTHING
    assert set(evaluate([], rounds=3).by_name().values()) == {NOTHING}
    assert set(evaluate(answered(("unverified", None)), rounds=3).by_name().values()) == {NOTHING}


def test_oracle_metrics_by_hand() -> None:
    """Ten questions, counted by hand."""
    rows = answered(
        *times(4, "correct", None),
        *times(2, "incorrect", "correct"),
        *times(2, "incorrect", "incorrect"),
        ("incorrect", "unverified"),
        ("unverified", None),
    )
    metrics = evaluate(rows)
    assert (metrics.acc_t1.value, metrics.acc_t1.n) == (4 / 9, 9)
    assert (metrics.acc_t2.value, metrics.acc_t2.n) == (6 / 8, 8)
    assert (metrics.delta.value, metrics.delta.n) == (2 / 8, 8)
    assert (metrics.i_to_c.value, metrics.i_to_c.n) == (2 / 4, 4)
    assert metrics.c_to_i == NOTHING
    assert metrics.retry_i_to_c == NOTHING


def test_without_an_oracle_right_to_wrong_flips_are_seen() -> None:
    """Trap 3: reflection that turns right answers wrong shows as a loss."""
    rows = answered(
        *times(3, "correct", "incorrect"), ("correct", "correct"), ("correct", None), ("incorrect", "correct")
    )
    metrics = evaluate(rows, protocol="oracle-free")
    assert (metrics.c_to_i.value, metrics.c_to_i.n) == (3 / 4, 4)
    assert (metrics.acc_t2.value, metrics.acc_t2.n) == (2 / 5, 5)
    assert metrics.delta.value == pytest.approx(-2 / 5)


def test_every_round_has_its_accuracy() -> None:
    """With an oracle a right answer is kept, without one the newest counts; an unverified turn excludes all after
    it.
    """
    rows = [
        row(1, "t", "correct"),
        row(2, "t", "incorrect", "correct"),
        row(3, "t", "incorrect", "incorrect", "correct"),
        row(4, "t", "incorrect", "incorrect", "incorrect", "incorrect"),
        row(5, "t", "incorrect", "unverified"),
    ]
    found = {
        name: (metric.value, metric.n)
        for name, metric in evaluate(rows, rounds=3).by_name().items()
        if name.startswith("acc_t")
    }
    assert found == {"acc_t1": (1 / 5, 5), "acc_t2": (2 / 4, 4), "acc_t3": (3 / 4, 4), "acc_t4": (3 / 4, 4)}
    free = [row(1, "t", "correct", "incorrect", "correct"), row(2, "t", "incorrect", "correct", "incorrect")]
    later = evaluate(free, protocol="oracle-free", rounds=2).by_name()
    assert (later["acc_t2"].value, later["acc_t3"].value) == (0.5, 0.5)
    assert "acc_t3" not in evaluate(rows).by_name(), "one round has no third turn"


def test_the_rounds_vote_and_a_tie_goes_to_the_newest() -> None:
    """Two answers outvote one; at one against one, the newest counts."""

    def turns(number: int, *said: tuple[str | None, Verdict]) -> QuestionAnswers:
        return QuestionAnswers(number, "t", tuple(Answer(verdict, group) for group, verdict in said))

    rows = [
        turns(1, ("A", "incorrect"), ("A", "incorrect"), ("B", "correct")),
        turns(2, ("A", "incorrect"), ("B", "correct")),
        turns(3, ("A", "incorrect"), ("B", "correct"), ("B", "correct")),
        turns(4, ("A", "correct")),
        turns(5, (None, "incorrect"), (None, "incorrect"), (None, "incorrect")),
        turns(6, ("A", "unverified")),
    ]
    voted = evaluate(rows, rounds=2).by_name()["acc_vote_rounds"]
    assert (voted.value, voted.n) == (3 / 5, 5)


def test_retry_stands_beside_reflection_on_equal_terms() -> None:
    """The retry counts as turn 2 does; verified on wrong answers alone it gives no accuracy without an oracle."""
    rows = [row(1, "t", "correct"), row(2, "t", "incorrect", "incorrect", retry="correct")]
    metrics = evaluate(rows)
    assert (metrics.acc_retry.value, metrics.acc_retry.n) == (1.0, 2)
    assert (metrics.acc_t2.value, metrics.acc_t2.n) == (0.5, 2)
    free = [row(1, "t", "correct", "correct"), rows[1]]
    assert evaluate(free, protocol="oracle-free").acc_retry == NOTHING
    assert evaluate(free, protocol="oracle-free").retry_i_to_c.value == 1.0
    untried = [row(1, "t", "correct"), row(2, "t", "incorrect", "incorrect")]
    assert evaluate(untried).acc_retry == NOTHING, "right first answers alone would be a retry that never fails"


@given(st.lists(st.tuples(st.sampled_from(VERDICTS), st.sampled_from(SECOND)), max_size=30))
def test_any_answers_give_metrics_with_their_n(verdicts: list[tuple[Verdict, Verdict | None]]) -> None:
    """Every value is within its interval; n never counts an unverified answer."""
    is_verified = sum(t1 != "unverified" for t1, _ in verdicts)
    for protocol in FEEDBACKS:
        metrics = evaluate(answered(*verdicts), protocol=protocol)
        assert metrics.acc_t1.n == is_verified
        for metric in metrics.by_name().values():
            assert metric.n <= is_verified
            assert (metric.value is None) == (metric.n == 0)
            if metric.value is not None and metric.low is not None and metric.high is not None:
                assert metric.low - 1e-9 <= metric.value <= metric.high + 1e-9 or metric == metrics.delta
