"""Tests of the promotion rule: non-inferiority with margins, and what few questions can't tell is left to an operator.

The simulations draw whole comparisons of child and parent and apply the rule to them. Their thresholds are those that
the rule is designed for: an unchanged policy is rejected in at most 5 % of comparisons, and a loss of 4 points at
either turn is promoted in at most 10 % at n = 400.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from engine.evaluation.promotion import (
    Decision,
    Margins,
    decide,
    describe,
    describe_rule,
    describe_split,
    not_worse,
    summarise,
)
from store.evaluation.comparisons import Comparison, Difference, PairedAnswer, compare, difference
from store.evaluation.held_out_answers import HeldOutAnswer
from store.records import Verdict
from store.settings import EvaluationSection

ORACLE = "oracle/0123456789"
NOTHING = Difference(None, None, None, 0, None, (), ())
MARGINS = Margins(0.04, 0.04)


def shown(value: float, low: float, high: float, p: float = 0.04) -> Difference:
    """A paired difference of shares."""
    return Difference(value, low, high, 400, p, (), ())


def settings(**changes: object) -> EvaluationSection:
    """Settings of an evaluation."""
    return EvaluationSection.model_validate(changes)


SAME = shown(0.0, -0.03, 0.03, 1.0)
WIDE = shown(0.0, -0.1, 0.1, 1.0)
GAIN = shown(0.1, 0.05, 0.15)
LOSS = shown(-0.1, -0.15, -0.05)


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        (SAME, SAME, "promoted"),
        (SAME, GAIN, "promoted"),
        (GAIN, SAME, "promoted"),
        # Few questions show no loss, and that is no reason to promote.
        (WIDE, WIDE, "undecided"),
        (SAME, WIDE, "undecided"),
        (WIDE, GAIN, "undecided"),
        (SAME, shown(-0.02, -0.06, 0.02), "undecided"),
        # The margin itself is not tolerated.
        (SAME, shown(0.0, -0.04, 0.04, 1.0), "undecided"),
        # A gain at one turn doesn't outweigh a loss at the other, nor does the margin excuse a loss that is shown.
        (LOSS, GAIN, "rejected"),
        (GAIN, LOSS, "rejected"),
        (shown(-0.02, -0.035, -0.005), SAME, "rejected"),
        # The interval alone shows no loss where the exact test doesn't.
        (shown(-0.05, -0.1, -0.001, 0.065), SAME, "undecided"),
        (shown(-0.02, -0.039, -0.001, 0.065), SAME, "promoted"),
        (NOTHING, NOTHING, "undecided"),
        (SAME, NOTHING, "undecided"),
    ],
)
def test_the_rule(first: Difference, second: Difference, state: str) -> None:
    """A shown loss rejects, both lower bounds above −margin promote, and anything else is undecided."""
    assert not_worse(Comparison(first, second), MARGINS).state == state


@pytest.mark.parametrize(
    ("changes", "first", "second", "state"),
    [
        ({"promote": "always"}, LOSS, LOSS, "promoted"),
        ({"promote": "operator"}, GAIN, GAIN, "undecided"),
        ({"promote": "operator"}, LOSS, LOSS, "undecided"),
        ({}, SAME, WIDE, "undecided"),
        ({"undecided": "promote"}, SAME, WIDE, "promoted"),
        ({"undecided": "reject"}, SAME, WIDE, "rejected"),
        ({"undecided": "promote"}, SAME, LOSS, "rejected"),
        ({"undecided": "reject"}, SAME, GAIN, "promoted"),
        ({"margin_t2": 0.2}, SAME, WIDE, "promoted"),
        ({"margin_t1": 0.2}, SAME, WIDE, "undecided"),
        ({"margin_t1": 0.02, "margin_t2": 0.02}, SAME, SAME, "undecided"),
    ],
)
def test_the_settings_of_the_rule(
    changes: dict[str, object], first: Difference, second: Difference, state: str
) -> None:
    """`always` and `operator` don't look at the numbers; margins and `undecided` are those of the settings."""
    assert decide(settings(**changes), Comparison(first, second)).state == state


def test_the_reason_says_what_was_measured() -> None:
    """The lineage stores the numbers behind a decision, in points and with their interval."""
    found = Comparison(shown(0.05, -0.03, 0.13), LOSS)
    decision = decide(settings(), found)
    assert decision.reason == f"worse than its parent at Acc@t2; {summarise(found)}"
    assert "Acc@t1 +5.0 points (−3.0 to +13.0)" in decision.reason
    assert "Acc@t2 −10.0 points (−15.0 to −5.0)" in decision.reason and "n = 400" in decision.reason
    assert decide(settings(), Comparison(SAME, SAME)).reason.startswith(
        "not worse than its parent by more than 4 points at Acc@t1 and 4 points at Acc@t2; Acc@t1 0.0 points"
    )


def test_what_can_not_be_told_is_said_with_n_and_the_turn() -> None:
    """The operator reads which accuracy is open and how many questions there were."""
    assert not_worse(Comparison(SAME, WIDE), MARGINS) == Decision(
        "undecided", "can't tell with n = 400 whether Acc@t2 fell by more than 4 points"
    )
    both = not_worse(Comparison(WIDE, WIDE), Margins(0.04, 0.025)).reason
    assert both.endswith("whether Acc@t1 fell by more than 4 points or Acc@t2 fell by more than 2.5 points")
    assert describe_rule(Comparison(SAME, WIDE), MARGINS).startswith("the rule leaves it to you: can't tell with n =")
    assert describe_rule(Comparison(SAME, LOSS), MARGINS) == ("the rule would reject: worse than its parent at Acc@t2")
    by_setting = decide(settings(undecided="promote"), Comparison(SAME, WIDE)).reason
    assert "can't tell with n = 400" in by_setting and "evaluation.undecided is 'promote'" in by_setting


def test_a_decision_names_its_questions() -> None:
    """Deciding on the questions that are reported makes their results too good, which the reason says."""
    assert describe_split(settings(split="dev")) == "decided on dev questions"
    assert "favour promoted policies" in describe_split(settings(split="test"))


@pytest.mark.parametrize(
    ("p", "words"),
    [(0.0004, "p < 0.001"), (0.0, "p < 0.001"), (0.001, "p = 0.001"), (0.04, "p = 0.040"), (1.0, "p = 1.00")],
)
def test_a_small_p_is_not_said_to_be_zero(p: float, words: str) -> None:
    """`p = 0.00` suggests certainty, which no test of 90 questions gives."""
    assert f", {words}, " in describe("Acc@t2", Difference(0.256, 0.156, 0.367, 90, p, (), ()))


def test_no_common_question_is_said_and_decides_nothing() -> None:
    """Without held-out questions nothing was measured, so no rule promotes or rejects."""
    assert describe("Acc@t1", NOTHING) == "Acc@t1: no question was verified for both"
    assert decide(settings(), compare([], ORACLE)).state == "undecided"


def answers(n: int, rates: dict[str, float], draw: Random, turns: str) -> list[PairedAnswer]:
    """Draw n questions with the given shares of gained and lost ones at a turn; at the other nothing changes."""
    found = []
    for number in range(n):
        luck = draw.random()
        if luck < rates["lost"]:
            was, now = True, False
        elif luck < rates["lost"] + rates["gained"]:
            was, now = False, True
        else:
            was = now = draw.random() < 0.5
        found.append(PairedAnswer(*(_answer(number, right, turns) for right in (was, now))))
    return found


def _answer(number: int, right: bool, turns: str) -> HeldOutAnswer:
    """An answer that is right or wrong at turn 1 and thus at both, or wrong at turn 1 and right or wrong at turn 2."""
    second: Verdict = "correct" if right else "incorrect"
    if turns == "t2":
        return HeldOutAnswer(number, "quiz", "incorrect", second, True, True)
    return HeldOutAnswer(number, "quiz", second, None if right else "incorrect", True, None if right else True)


def simulated(n: int, loss: float, discordant: float, turns: str, runs: int, seed: int = 1) -> dict[str, float]:
    """Apply the rule to simulated comparisons; returns the share of each state."""
    draw = Random(seed)
    rates = {"lost": (discordant + loss) / 2, "gained": (discordant - loss) / 2}
    states = Counter(decide(settings(), compare(answers(n, rates, draw, turns), ORACLE)).state for _ in range(runs))
    return {state: count / runs for state, count in states.items()}


@pytest.mark.parametrize("turns", ["t1", "t2"])
@pytest.mark.parametrize(("n", "discordant"), [(90, 0.1), (90, 0.3), (400, 0.05), (400, 0.2), (400, 0.4)])
def test_an_unchanged_policy_is_rarely_rejected(n: int, discordant: float, turns: str) -> None:
    """At most 5 %, whatever the number of questions and the share of answers that differ."""
    assert simulated(n, 0.0, discordant, turns, 300).get("rejected", 0.0) <= 0.05


@pytest.mark.parametrize("turns", ["t1", "t2"])
@pytest.mark.parametrize("discordant", [0.04, 0.1, 0.2, 0.4])
def test_a_loss_of_four_points_is_rarely_promoted(discordant: float, turns: str) -> None:
    """At most 10 % at n = 400, with few or many answers that differ."""
    assert simulated(400, 0.04, discordant, turns, 300).get("promoted", 0.0) <= 0.10


@pytest.mark.parametrize(("n", "discordant"), [(90, 0.2), (90, 0.3), (60, 0.2)])
def test_what_ninety_questions_can_not_tell_is_left_to_the_operator(n: int, discordant: float) -> None:
    """Neither an unchanged policy nor a loss of 4 points is decided on in most comparisons."""
    for loss in (0.0, 0.04):
        assert simulated(n, loss, discordant, "t2", 200)["undecided"] >= 0.75


def test_large_effects_are_decided_at_any_size() -> None:
    """A gain of 20 points is promoted and a loss of 20 rejected at n = 90 nearly always."""
    assert simulated(90, -0.2, 0.3, "t1", 200)["promoted"] >= 0.8
    assert simulated(90, 0.2, 0.3, "t1", 200)["rejected"] >= 0.8


def test_independent_turns_keep_the_rate_of_false_rejections() -> None:
    """Both accuracies are tested; the exact test keeps them together within 5 % even if they were independent."""
    draw, rejected, runs = Random(3), 0, 1500
    for _ in range(runs):
        both = [
            difference(
                [(number, luck < 0.1, 0.1 <= luck < 0.2) for number in range(400) if (luck := draw.random()) < 2]
            )
            for _ in range(2)
        ]
        rejected += not_worse(Comparison(*both), MARGINS).state == "rejected"
    assert rejected / runs <= 0.05
