"""Tests of the baselines, votes and retries: with all samples, and within the tokens that reflection used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.answer_outcomes import Answer, QuestionAnswers, answer_group, majority
from engine.evaluation.baselines import Budget, allowed, baseline_outcomes, baselines, budgets, until_right
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


COSTS = st.dictionaries(
    st.integers(0, 500), st.lists(st.integers(1, 60), min_size=1, max_size=8), min_size=1, max_size=12
)


def samples_of(costs: Mapping[int, Sequence[int]]) -> dict[int, tuple[Answer, ...]]:
    """Samples with these completion tokens and as many prompt tokens."""
    return {
        question: tuple(Answer("correct", "A", one, prompt_tokens=one) for one in several)
        for question, several in costs.items()
    }


@given(COSTS, st.integers(0, 400), st.integers(0, 9))
def test_the_mean_spends_the_budget(costs: dict[int, list[int]], tokens: int, seed: int) -> None:
    """Up to one sample among all questions, unless every sample is used or one of each is too much already."""
    samples = samples_of(costs)
    found = allowed(samples, tokens, seed)
    assert found.keys() == samples.keys() and found == allowed(samples, tokens, seed)
    assert all(1 <= number <= len(samples[question]) for question, number in found.items())
    spent = sum(one.cost for question, number in found.items() for one in samples[question][:number])
    least = sum(several[0].cost for several in samples.values())
    most = sum(one.cost for several in samples.values() for one in several)
    expected = min(max(tokens * len(samples), least), most)
    steps = sum(max(one.cost for one in several) for several in samples.values())
    assert abs(spent - expected) <= steps, "each question is off by less than one of its samples"
    if expected in (least, most):
        assert spent == pytest.approx(expected, abs=1e-3)


def test_floor_and_ceiling_are_drawn_so_that_the_mean_is_met() -> None:
    """A budget of 2.3 samples: 30 of 100 questions have three, whichever seed, and the seed says which."""
    samples = samples_of({question: [5] * 6 for question in range(100)})
    found = [allowed(samples, 23, seed) for seed in range(5)]
    assert all(sorted(set(one.values())) == [2, 3] and 29 <= sum(v == 3 for v in one.values()) <= 31 for one in found)
    assert found[0] != found[1]
    often = sum(allowed(samples, 23, seed)[7] == 3 for seed in range(300)) / 300
    assert often == pytest.approx(0.3, abs=0.09), "no question is always the one with more"


def test_what_short_samples_leave_the_others_may_spend() -> None:
    """Question 1 can't spend its part of the budget, question 2 spends the rest."""
    assert allowed(samples_of({1: [5], 2: [5] * 9}), 35, 0) == {1: 1, 2: 6}
    assert allowed({}, 35, 0) == {}


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
    found = budgets(_rows(), 0)
    assert {task: (one.vote, one.retry) for task, one in found.items()} == {"a": (40, 40), "b": (40, 0)}
    assert found["b"] == Budget(vote=40, retry=0, votes={3: 2})


def test_prompts_cost_tokens_too() -> None:
    """Reflection reads question, answer and reflection; each retry reads its prompt again."""
    row = QuestionAnswers(
        1,
        "a",
        (Answer("incorrect", "B", 20, prompt_tokens=100), Answer("incorrect", "B", 10, prompt_tokens=160)),
        30,
        retries=tuple(Answer("incorrect", "B", 20, prompt_tokens=120) for _ in range(6)),
        votes=tuple(Answer("correct", "A", 20, prompt_tokens=100) for _ in range(6)),
        reflection_prompt_tokens=140,
    )
    budget = budgets([row], 0)["a"]
    assert (budget.vote, budget.retry) == (120 + 170 + 170, 340)
    assert budget.votes[1] in (3, 4) and budget.voted_retries[1] in (2, 3)
    found = baselines([row], {"a": budget}, protocol="oracle")
    assert (found["tokens_reflection"].value, found["prompt_tokens_reflection"].value) == (30, 140)
    assert found["prompt_tokens_correction"].value == 160


def test_baselines_by_hand() -> None:
    """Metrics with all samples, and within the budget of each question's own task."""
    rows = _rows()
    found = baselines(rows, budgets(rows, 0), protocol="oracle")
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
    budget = budgets(rows, 0)
    for protocol in ("oracle", "oracle-free"):
        outcomes = baseline_outcomes(rows, budget, protocol)  # type: ignore[arg-type]
        measured = baselines(rows, budget, protocol=protocol)  # type: ignore[arg-type]
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
    found = baselines(rows, budgets(rows, 0), protocol="oracle")
    assert (found["acc_retry_budget"].value, found["acc_retry_budget"].n) == (1.0, 2)
    assert (found["acc_retry_vote_budget"].value, found["acc_retry_vote_budget"].n) == (0.5, 2)
    # Of the first row four tries fit; the oracle stops at the second of them.
    assert baselines([row], budgets([row], 0), protocol="oracle")["tokens_retry_budget"].value == 20
    assert baselines([row], budgets([row], 0), protocol="oracle")["tokens_retry_vote_budget"].value == 40
    assert baseline_outcomes(rows, budgets(rows, 0), "oracle")[1, "retry_vote_budget"] is False
    assert not {name for name in baselines(rows, budgets(rows, 0), protocol="oracle-free") if "retry_vote" in name}


def test_a_baseline_that_was_not_measured_has_no_outcome() -> None:
    """Right first answers alone would look like a baseline that never fails."""
    plain = [
        QuestionAnswers(1, "a", (Answer("correct", "A", 20),)),
        QuestionAnswers(2, "a", (Answer("incorrect", "B", 20),), 9),
    ]
    assert baseline_outcomes(plain, budgets(plain, 0), "oracle") == {}


def test_a_baseline_never_costs_more_than_reflection_does() -> None:
    """Otherwise the comparison would not be one at equal tokens."""
    rows = _rows()
    found = baselines([row for row in rows if row.task == "a"], budgets(rows, 0), protocol="oracle")
    reflected = sum(found[f"tokens_{name}"].value or 0 for name in ("attempt", "reflection", "correction"))
    assert (found["tokens_vote_budget"].value or 0) <= reflected


def test_only_what_was_measured_has_a_name() -> None:
    """A baseline that was not requested is not a baseline of 0."""
    plain = [QuestionAnswers(1, "a", (Answer("correct", "A", 20),))]
    names = set(baselines(plain, budgets(plain, 0), protocol="oracle"))
    parts = ("attempt", "reflection", "correction")
    assert names == {f"{kind}_{part}" for kind in ("tokens", "prompt_tokens") for part in parts}
    one_retry = [QuestionAnswers(1, "a", (Answer("incorrect", "A", 20),), retries=tries("correct"))]
    assert set(baselines(one_retry, budgets(one_retry, 0), protocol="oracle")) - names == {
        "tokens_retry",
        "prompt_tokens_retry",
    }
    more = [QuestionAnswers(1, "a", (Answer("incorrect", "A", 20),), 5, retries=tries("incorrect", "correct"))]
    assert "acc_retry_budget" in baselines(more, budgets(more, 0), protocol="oracle")
    free = baselines(more, budgets(more, 0), protocol="oracle-free")
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
