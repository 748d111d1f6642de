"""Tests of the baselines, votes and retries: with all samples, and within the tokens that reflection used."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.answers import Answer, QuestionAnswers, answer_group, majority
from engine.evaluation.baselines import Budget, baseline_outcomes, baselines, budgets, until_right, within
from store.records import Verdict


def votes(*said: str, right: str = "A", tokens: int = 10) -> tuple[Answer, ...]:
    """Sampled answers of the same length; `-` is a reply without an answer."""
    return tuple(
        Answer("correct" if one == right else "incorrect", None if one == "-" else one, tokens) for one in said
    )


def tries(*verdicts: Verdict, tokens: int = 10) -> tuple[Answer, ...]:
    return tuple(Answer(verdict, None, tokens) for verdict in verdicts)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("AAB", True),
        ("BBA", False),
        ("AB", True),
        ("BA", False),
        ("B-A-A", True),
        ("---", False),
        ("-A", True),
        ("BCA", False),
        ("", None),
    ],
)
def test_the_answer_that_most_give_wins_and_a_tie_goes_to_the_first(said: str, right: bool | None) -> None:
    """A reply without an answer has no vote; no answer at all is a wrong one."""
    assert majority(votes(*said)) is right


def test_an_unverified_winner_is_no_outcome() -> None:
    """An unverified answer counts as neither; one verified member of the group is enough."""
    unsure = Answer("unverified", "A")
    assert majority([unsure, unsure, Answer("incorrect", "B")]) is None
    assert majority([unsure, Answer("correct", "A"), Answer("incorrect", "B")]) is True
    assert majority([Answer("unverified"), Answer("incorrect")]) is None


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(0, 100))
def test_within_takes_the_longest_start_that_fits_and_at_least_one(lengths: Sequence[int], tokens: int) -> None:
    """Only the first answer may exceed the budget, and no remaining answer that fits is left out."""
    answers = [Answer("correct", "A", length) for length in lengths]
    taken = within(answers, tokens)
    assert taken and list(taken) == answers[: len(taken)]
    spent = sum(one.tokens for one in taken)
    assert len(taken) == 1 or spent <= tokens
    if len(taken) < len(answers):
        assert spent + answers[len(taken)].tokens > tokens


def test_an_oracle_stops_the_retries_at_the_first_right_one() -> None:
    """Samples after the right one cost nothing: with an oracle they would not be generated."""
    assert len(until_right(tries("incorrect", "correct", "incorrect"))) == 2
    assert len(until_right(tries("incorrect", "incorrect"))) == 2
    assert len(until_right(())) == 0


def _rows() -> list[QuestionAnswers]:
    """Task `a`: one question right at the first attempt, one reflected on for 30 + 10 tokens. Task `b`: no
    reflections.
    """
    return [
        QuestionAnswers(1, "a", (Answer("correct", "A", 20),), votes=votes("A", "B", "B")),
        QuestionAnswers(
            2,
            "a",
            (Answer("incorrect", "B", 20), Answer("incorrect", "B", 10)),
            30,
            retries=tries("incorrect", "incorrect", "unverified", "incorrect", "correct"),
            votes=votes("A", "A", "C"),
        ),
        QuestionAnswers(3, "b", (Answer("correct", "A", 40),), votes=votes("B", "A", "A", tokens=20)),
    ]


def test_a_budget_is_what_reflection_took_on_average_in_its_task() -> None:
    """The vote's budget is attempt, reflection and correction; the retry's is the part after the attempt, both over the
    questions that were reflected on.
    """
    assert budgets(_rows()) == {"a": Budget(vote=(20 + 60) / 2, retry=40), "b": Budget(vote=40, retry=0)}


def test_baselines_by_hand() -> None:
    """Metrics with all samples, and within the budget of each question's own task."""
    rows = _rows()
    found = baselines(rows, budgets(rows), protocol="oracle", seed=0)
    # All votes: wrong, right, right. Within 40 tokens: the same in `a` (three of ten), two of twenty in `b`: a tie.
    assert found["acc_vote"].value == pytest.approx(2 / 3)
    assert found["acc_vote_budget"].value == pytest.approx(1 / 3)
    # Question 2: four tries of ten fit, the third could not be verified; so it is left out.
    assert (found["acc_retry_budget"].value, found["acc_retry_budget"].n) == (1.0, 2)
    means = {name.removeprefix("tokens_"): metric.value for name, metric in found.items() if name.startswith("tokens_")}
    assert means == pytest.approx(
        {
            "attempt": 80 / 3,
            "reflection": 10,
            "correction": 10 / 3,
            "retry": 50 / 3,
            "retry_budget": 40 / 3,
            "retry_vote_budget": 40 / 3,
            "vote": (30 + 30 + 60) / 3,
            "vote_budget": (30 + 30 + 40) / 3,
        }
    )


def test_outcomes_by_question_are_what_the_shares_are_made_of() -> None:
    """A paired test needs outcomes by question; they must add up to the engine's shares."""
    rows = _rows()
    budget = budgets(rows)
    for protocol in ("oracle", "oracle-free"):
        outcomes = baseline_outcomes(rows, budget, protocol)  # type: ignore[arg-type]
        measured = baselines(rows, budget, protocol=protocol, seed=0)  # type: ignore[arg-type]
        for name in ("vote", "vote_budget", "retry_budget", "retry_vote_budget"):
            known = [right for (_, one), right in outcomes.items() if one == name]
            if f"acc_{name}" in measured:
                assert sum(known) / len(known) == pytest.approx(measured[f"acc_{name}"].value)
            else:
                assert known == []
    # Question 2 was tried again and failed; right answers stay.
    oracle = baseline_outcomes(rows, budget, "oracle")
    assert [oracle[question, "retry"] for question in (1, 2, 3)] == [True, False, True]


def test_voted_retries_hear_no_verdict_but_the_first() -> None:
    """A correction is generated with one verdict, that the attempt was wrong. Retries that stop at a right answer use a
    verdict after each try: where an answer is eventually guessed, this alone makes them right, as the vote over the
    same tries shows.
    """
    second = tuple(Answer("correct" if said == "A" else "incorrect", said, 10) for said in "BABBA")
    row = QuestionAnswers(1, "a", (Answer("incorrect", "B", 20), Answer("incorrect", "B", 10)), 30, retries=second)
    right = QuestionAnswers(2, "a", (Answer("correct", "A", 20),))
    unknown = QuestionAnswers(3, "a", (Answer("unverified", "A", 20),), retries=second)
    rows = [row, right, unknown]
    found = baselines(rows, budgets(rows), protocol="oracle", seed=0)
    assert (found["acc_retry_budget"].value, found["acc_retry_budget"].n) == (1.0, 2)
    assert (found["acc_retry_vote_budget"].value, found["acc_retry_vote_budget"].n) == (0.5, 2)
    # Of the first row four tries fit; the oracle stops at the second of them.
    assert baselines([row], budgets([row]), protocol="oracle", seed=0)["tokens_retry_budget"].value == 20
    assert baselines([row], budgets([row]), protocol="oracle", seed=0)["tokens_retry_vote_budget"].value == 40
    assert baseline_outcomes(rows, budgets(rows), "oracle")[1, "retry_vote_budget"] is False
    assert not {name for name in baselines(rows, budgets(rows), protocol="oracle-free", seed=0) if "retry_vote" in name}


def test_a_baseline_that_was_not_measured_has_no_outcome() -> None:
    """Right first answers alone would look like a baseline that never fails."""
    plain = [
        QuestionAnswers(1, "a", (Answer("correct", "A", 20),)),
        QuestionAnswers(2, "a", (Answer("incorrect", "B", 20),), 9),
    ]
    assert baseline_outcomes(plain, budgets(plain), "oracle") == {}


def test_a_baseline_never_costs_more_than_reflection_does() -> None:
    """Otherwise the comparison would not be one at equal tokens."""
    rows = _rows()
    found = baselines([row for row in rows if row.task == "a"], budgets(rows), protocol="oracle", seed=0)
    reflected = sum(found[f"tokens_{name}"].value or 0 for name in ("attempt", "reflection", "correction"))
    assert (found["tokens_vote_budget"].value or 0) <= reflected


def test_only_what_was_measured_has_a_name() -> None:
    """A baseline that was not requested is not a baseline of 0."""
    plain = [QuestionAnswers(1, "a", (Answer("correct", "A", 20),))]
    names = set(baselines(plain, budgets(plain), protocol="oracle", seed=0))
    assert names == {"tokens_attempt", "tokens_reflection", "tokens_correction"}
    one_retry = [QuestionAnswers(1, "a", (Answer("incorrect", "A", 20),), retries=tries("correct"))]
    assert set(baselines(one_retry, budgets(one_retry), protocol="oracle", seed=0)) - names == {"tokens_retry"}
    more = [QuestionAnswers(1, "a", (Answer("incorrect", "A", 20),), 5, retries=tries("incorrect", "correct"))]
    assert "acc_retry_budget" in baselines(more, budgets(more), protocol="oracle", seed=0)
    free = baselines(more, budgets(more), protocol="oracle-free", seed=0)
    assert "acc_retry_budget" not in free, "without an oracle nobody knows when to stop"


@pytest.mark.parametrize(
    ("kind", "one", "other", "same"),
    [
        ("math", "1,000", "1000", True),
        ("math", "5", "5.0", True),
        ("math", "$5$", "5", True),
        ("math", r"\frac12", "0.5", True),
        ("math", r"\frac{1}{2}", "1/2", True),
        ("math", r"-\dfrac{3}{4}", "-0.75", True),
        ("math", "x = 4", "4", True),
        ("math", "x+1", "x + 1", True),
        ("math", "5", "6", False),
        ("math", "1/0", "0", False),
        ("choice", "b", "B", True),
        ("choice", "A", "B", False),
        ("free_text", "The Eiffel Tower.", "eiffel  tower", True),
        ("free_text", "Paris", "London", False),
        ("procedural", "3  4", "3 4", True),
        ("code", "def f():\n    return 1", "def f():\n  return 1", False),
    ],
)
def test_answers_that_say_the_same_are_one_vote(kind: str, one: str, other: str, same: bool) -> None:
    """Trap 10 in the vote: two spellings of the right answer must not split its votes."""
    assert (answer_group(kind, one) == answer_group(kind, other)) is same


@given(st.text(max_size=30), st.sampled_from(["math", "choice", "free_text", "procedural", "code", ""]))
def test_any_answer_has_a_group_or_none(answer: str, kind: str) -> None:
    """Any text can be an answer; only an absent one is none."""
    assert (answer_group(kind, answer) is None) == (not answer.strip())
    assert answer_group(kind, None) is None
