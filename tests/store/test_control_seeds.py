"""Tests of controls analysed over several seeds: coverage, p values and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from random import Random

import pytest

from reflectevo_tui.experiment.paired_estimates import paired_over_seeds
from store.evaluation.control_analysis import analyse_controls, analyse_seeds
from store.evaluation.control_arms import SHUFFLED
from store.evaluation.control_measurement import ArmAnswer, ControlMeasurement, measurement_from_json
from store.evaluation.intervals import mean_change_over_tasks, over_seeds, p_over_seeds

ARMS = ("own", "own-repeat", "none", *SHUFFLED)


def measured(
    random: Random, effect: float, *, wrong: Sequence[int], right: float = 0.4, label: str = ""
) -> ControlMeasurement:
    """A simulated seed whose `own` is right with a probability larger by `effect` than the other arms."""
    answers: dict[str, dict[int, ArmAnswer]] = {}
    for arm in ARMS:
        share = right + (effect if arm.startswith("own") else 0.0)
        answers[arm] = {}
        for question in wrong:
            correct = random.random() < share
            answers[arm][question] = ArmAnswer(correct, "right" if correct else "wrong")
    return ControlMeasurement(
        answers, {one: f"task {one % 2}" for one in wrong}, dict.fromkeys(wrong, 0.2), label=label
    )


def test_one_seed_is_the_analysis_of_one_policy() -> None:
    one = measured(Random(1), 0.1, wrong=range(40))
    alone = analyse_controls(one.answers, one.tasks, one.floor, seed=4)
    assert analyse_seeds([one], seed=4) == alone and alone.primary["none"].overall.seeds == ()


def test_seeds_on_the_same_questions_agree_with_paired_estimates() -> None:
    """With `first_answers = "base"` all seeds correct the same answers: the numbers are those of paired estimates."""
    seeds = [measured(Random(seed), 0.1, wrong=range(60)) for seed in range(3)]
    found = analyse_seeds(seeds).primary["none"]
    outcomes = [
        [{q: float(bool(a.correct)) for q, a in one.answers[arm].items()} for one in seeds] for arm in ("none", "own")
    ]  # type: ignore[union-attr]
    pairs = paired_over_seeds(outcomes[0], outcomes[1], seeds[0].tasks)
    assert (
        asdict(found.overall).items()
        >= {
            "value": pytest.approx(pairs.overall.value),
            "low": pytest.approx(pairs.overall.low),
            "high": pytest.approx(pairs.overall.high),
            "n": 60,
        }.items()
    )
    assert found.smallest == pytest.approx(pairs.overall.smallest) and len(found.overall.seeds) == 3
    assert set(found.by_task) == {"task 0", "task 1"}


@pytest.mark.parametrize(("spread", "common"), [(0.0, 0.5), (0.08, 0.5), (0.0, 1.0), (0.08, 0.1)])
def test_intervals_over_seeds_cover(spread: float, common: float) -> None:
    """Three seeds that answer different questions wrong, and whose effects differ: at least 93 of 100 cover."""
    random, covered, runs = Random(7), 0, 300
    for _ in range(runs):
        seeds = []
        for _ in range(3):
            wrong = [one for one in range(100) if one < 100 * common or random.random() < 0.4]
            effect = random.gauss(0.1, spread)
            own = {one: random.random() < 0.4 + effect for one in wrong}
            none = {one: random.random() < 0.4 for one in wrong}
            answers = {
                arm: {one: ArmAnswer(found[one], str(found[one])) for one in wrong}
                for arm, found in (("own", own), ("none", none))
            }
            seeds.append(ControlMeasurement(answers, dict.fromkeys(wrong, "task"), {}))
        mean = analyse_seeds(seeds).primary["none"].overall
        assert mean.low is not None and mean.high is not None
        covered += mean.low <= 0.1 <= mean.high
    assert covered >= 0.93 * runs, covered / runs


@pytest.mark.parametrize("means", [(0.1, 0.2, 0.3), (-0.2, -0.25, -0.1), (0.02, -0.01), (0.2, 0.2, 0.2)])
def test_the_p_value_is_below_5_percent_where_the_interval_excludes_0(means: tuple[float, ...]) -> None:
    value = sum(means) / len(means)
    changes = [1.0 if value > 0 else -1.0] * round(abs(value) * 80) + [0.0] * (80 - round(abs(value) * 80))
    questions = mean_change_over_tasks([changes])
    interval, p = over_seeds(questions, means), p_over_seeds(questions, means)
    assert (p < 0.05) == (interval.above_zero or interval.below_zero)


def test_no_difference_in_any_seed_has_a_p_value_of_1() -> None:
    assert p_over_seeds(mean_change_over_tasks([[0.0] * 10]), (0.0, 0.0)) == 1.0


def test_an_effect_in_every_seed_is_found_and_none_is_not() -> None:
    helped = analyse_seeds([measured(Random(seed), 0.2, wrong=range(300)) for seed in range(3)])
    assert helped.conclusion == "helps" and all((one.p_holm or 1) < 0.05 for one in helped.primary.values())
    same = analyse_seeds([measured(Random(seed), 0.0, wrong=range(300)) for seed in range(3)])
    assert same.conclusion != "helps"


def test_a_seed_without_wrong_answers_is_named_and_nothing_is_divided_by_zero() -> None:
    """Neither does a task that one seed alone has wrong answers in count for the others."""
    full = measured(Random(1), 0.1, wrong=range(10), label="seed 1")
    empty = ControlMeasurement({}, {}, {}, label="seed 2")
    found = analyse_seeds([full, empty])
    assert found.conclusion == "cannot-tell" and found.primary["shuffled"].overall.n == 0
    assert "seed 2: no first answer was wrong, so there is nothing to correct" in found.notes
    assert "seed 2" in found.sentence
    half = measured(Random(2), 0.1, wrong=range(0, 10, 2), label="seed 2")
    assert set(analyse_seeds([full, half]).primary["none"].by_task) == {"task 0"}
    one = measured(Random(2), 0.1, wrong=[4], label="seed 2")
    assert analyse_seeds([one, one]).conclusion == "cannot-tell"
    with pytest.raises(ValueError, match="at least one policy"):
        analyse_seeds([])


def test_a_stored_measurement_is_read_back() -> None:
    one = measured(Random(1), 0.1, wrong=range(6), label="seed 1")
    reasons = {"foreign": "one task"}
    again = measurement_from_json(one.as_json(), reasons, "seed 1")
    assert (again.answers, again.tasks, again.floor, again.reasons) == (one.answers, one.tasks, one.floor, reasons)
