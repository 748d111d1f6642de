"""Tests of the intervals and of power by simulation: coverage of at least 93 %, with three seeds too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflectevo_tui.experiment.paired_estimates import mean_over_seeds, paired_over_seeds
from store.evaluation.intervals import (
    Interval,
    mcnemar_exact,
    mean_change_over_tasks,
    mean_of_parts,
    mean_share_over_tasks,
    over_seeds,
    paired_changes,
    paired_score,
    sign_flip,
    student_mean,
    wilson,
)
from store.evaluation.power import (
    ASSUMED_DISCORDANT,
    effective_pairs,
    no_difference_words,
    power_words,
    smallest_difference,
    smallest_over_seeds,
)

LEAST = 0.93
"""Least coverage that is accepted of a 95 % interval."""


def coverage(runs: int, truth: float, draw: Callable[[], Interval]) -> float:
    """Return the share of drawn intervals that contain the true value."""
    return sum(one.low - 1e-9 <= truth <= one.high + 1e-9 for one in (draw() for _ in range(runs))) / runs


@pytest.mark.parametrize("n", [1, 2, 5, 20, 100])
def test_no_paired_score_interval_is_a_point(n: int) -> None:
    """Identical outcomes don't prove that two policies are the same; the ends mirror when the sides are swapped."""
    still = paired_score(0, 0, n)
    assert still.high == pytest.approx(1.959964**2 / (n + 1.959964**2), abs=1e-6) and still.low == -still.high
    for gained in range(0, n + 1, max(1, n // 7)):
        for lost in range(0, n + 1 - gained, max(1, n // 7)):
            found, mirrored = paired_score(gained, lost, n), paired_score(lost, gained, n)
            assert -1 <= found.low < found.high <= 1
            assert found.low - 1e-9 <= (gained - lost) / n <= found.high + 1e-9
            assert (found.low, found.high) == pytest.approx((-mirrored.high, -mirrored.low))


def test_one_pair_has_the_interval_of_one_pair() -> None:
    """By hand: the statistic of one gained pair is sqrt((1 − d) / (1 + d))."""
    found = paired_score(1, 0, 1)
    assert found.low == pytest.approx((1 - 1.959964**2) / (1 + 1.959964**2), abs=1e-6) and found.high == 1.0
    assert paired_score(0, 0, 0) == Interval(-1.0, 1.0) == paired_changes([])


@pytest.mark.parametrize("counts", [(-1, 0, 3), (2, 2, 3), (1, 0, 0)])
def test_impossible_counts_are_refused(counts: tuple[int, int, int]) -> None:
    """More discordant pairs than pairs, or a negative number of them."""
    with pytest.raises(ValueError):
        paired_score(*counts)
    with pytest.raises(ValueError):
        paired_changes([0.0, 1.5])
    with pytest.raises(ValueError):
        mean_of_parts([])
    with pytest.raises(ValueError):
        mean_share_over_tasks([[1.0], []])
    assert student_mean([]) is None


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_changes_between_the_counts_have_an_interval_too(changes: list[float]) -> None:
    """Means over draws give fractions; the interval contains the mean and is never a point."""
    found, mean = paired_changes(changes), math.fsum(changes) / len(changes)
    assert -1 <= found.low < found.high <= 1 and found.low - 1e-9 <= mean <= found.high + 1e-9


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=40))
def test_changes_of_single_draws_have_the_paired_score_interval(changes: list[int]) -> None:
    """A mean over one task is that task's."""
    expected = paired_score(changes.count(1), changes.count(-1), len(changes))
    for found in (paired_changes(changes), mean_change_over_tasks([changes])):
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def _multinomial(n: int, gained: float, lost: float) -> float:
    """Exact coverage of the paired score interval for n pairs with these probabilities."""
    total = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            found = paired_score(b, c, n)
            if found.low - 1e-9 <= gained - lost <= found.high + 1e-9:
                ways = math.comb(n, b) * math.comb(n - b, c)
                total += ways * gained**b * lost**c * (1 - gained - lost) ** (n - b - c)
    return total


@pytest.mark.parametrize("n", [3, 10, 24])
def test_paired_score_covers_the_difference(n: int) -> None:
    """Computed exactly, from almost no discordant pairs to most of them."""
    for gained, lost in ((0.01, 0.01), (0.05, 0.01), (0.05, 0.05), (0.2, 0.1), (0.1, 0.3), (0.4, 0.3)):
        assert _multinomial(n, gained, lost) >= LEAST, (gained, lost)


@pytest.mark.parametrize("sizes", [(10,), (40, 40), (5, 20, 80), (30, 30, 30, 30)])
def test_means_over_tasks_are_covered(sizes: tuple[int, ...]) -> None:
    """Shares and paired changes, with tasks of unequal difficulty and size."""
    random = Random(sum(sizes))
    shares = [0.2 + 0.6 * number / max(len(sizes) - 1, 1) for number in range(len(sizes))]
    gains = [0.05 + 0.1 * number for number in range(len(sizes))]

    def share() -> Interval:
        pairs = zip(sizes, shares, strict=True)
        return mean_share_over_tasks([[float(random.random() < share) for _ in range(n)] for n, share in pairs])

    def change() -> Interval:
        drawn = [
            random.choices((1.0, -1.0, 0.0), (gain, 0.1, 0.9 - gain), k=n) for n, gain in zip(sizes, gains, strict=True)
        ]
        return mean_change_over_tasks(drawn)

    assert coverage(1000, sum(shares) / len(shares), share) >= LEAST
    assert coverage(1000, sum(gains) / len(gains) - 0.1, change) >= LEAST


@pytest.mark.parametrize("guess", [1 / 9, 1 / 3, 0.5])
def test_a_difference_from_a_probability_is_covered(guess: float) -> None:
    """The floor is a probability per question, the outcome is 0 or 1; and a mean of three draws against one."""
    random = Random(7)
    for n in (12, 60):
        for right in (0.2, guess, 0.6):

            def against_floor(n: int = n, right: float = right) -> Interval:
                return paired_changes([float(random.random() < right) - guess for _ in range(n)])

            assert coverage(1000, right - guess, against_floor) >= LEAST, (n, right)

    def against_three_draws() -> Interval:
        questions = [random.random() for _ in range(40)]
        return paired_changes(
            [float(random.random() < q) - sum(random.random() < q for _ in range(3)) / 3 for q in questions]
        )

    assert coverage(1000, 0.0, against_three_draws) >= LEAST


SPREADS = [(0.0, 0.0), (0.03, 0.0), (0.1, 0.0), (0.0, 0.2), (0.05, 0.2), (0.1, 0.3)]
"""Standard deviations of the seeds' and the questions' shares."""


def _seeds(random: Random, between: float, within: float, tasks: int, each: int) -> list[dict[int, float]]:
    """Outcomes of three seeds on the same questions, whose difficulty all seeds share; the mean share is 0.5."""
    hard = [max(-0.4, min(0.4, random.gauss(0, within))) for _ in range(tasks * each)]
    found = []
    for _ in range(3):
        shift = random.gauss(0, between)
        found.append({number: float(random.random() < 0.5 + one + shift) for number, one in enumerate(hard)})
    return found


@pytest.mark.parametrize(("between", "within"), SPREADS)
def test_a_mean_of_three_seeds_is_covered(between: float, within: float) -> None:
    """Seeds and questions are both drawn anew: another seed and other questions would give the true mean."""
    random = Random(11)
    tasks = {number: "ab"[number % 2] for number in range(60)}

    def share() -> Interval:
        found = mean_over_seeds(_seeds(random, between, within, 2, 30), tasks)
        assert found.low is not None and found.high is not None
        return Interval(found.low, found.high)

    def change() -> Interval:
        base = {number: float(random.random() < 0.5) for number in tasks}
        found = paired_over_seeds([base], _seeds(random, between, within, 2, 30), tasks).overall
        assert found.low is not None and found.high is not None
        return Interval(found.low, found.high)

    assert coverage(500, 0.5, share) >= LEAST
    assert coverage(300, 0.0, change) >= LEAST


def test_a_bootstrap_of_three_seeds_would_not_be_enough() -> None:
    """Why seeds have Student's t: where they dominate, resampling three of them covers far fewer than 93 %."""
    random = Random(2)

    def seeds() -> list[float]:
        return [random.gauss(0.5, 0.1) for _ in range(3)]

    def resampled() -> Interval:
        drawn = seeds()
        means = sorted(sum(random.choices(drawn, k=3)) / 3 for _ in range(200))
        return Interval(means[4], means[195])

    def student() -> Interval:
        drawn = seeds()
        return over_seeds(Interval(sum(drawn) / 3, sum(drawn) / 3), drawn)

    assert coverage(400, 0.5, resampled) < 0.85
    assert coverage(400, 0.5, student) >= LEAST


def test_one_seed_changes_nothing_and_two_are_wide() -> None:
    """Two seeds say little about a third: t(0.975) at one degree of freedom is 12.7."""
    questions = Interval(0.4, 0.6)
    assert over_seeds(questions, [0.5]) == questions
    found = over_seeds(questions, [0.49, 0.51])
    assert found.low == pytest.approx(0.5 - math.hypot(0.1, 12.7062 * 0.01), abs=1e-5)


@pytest.mark.parametrize("n", [2, 5, 12, 60])
def test_a_mean_of_token_counts_is_covered(n: int) -> None:
    """Few questions too."""
    random = Random(n)

    def tokens() -> Interval:
        found = student_mean([random.gauss(100, 20) for _ in range(n)])
        assert found is not None
        return found

    assert coverage(1000, 100.0, tokens) >= LEAST


@pytest.mark.parametrize("groups", [[[1.0, -1.0, 1.0, 0.0, 1.0]], [[1 / 3, -2 / 3, 1.0], [0.0, 1.0]], [[0.0]], []])
def test_sign_flip_needs_no_change_to_be_one(groups: list[list[float]]) -> None:
    """Without any change p is 1; with equal weights and single draws it is McNemar's."""
    p = sign_flip(groups, seed=0)
    assert 0 < p <= 1
    if len(groups) == 1:
        assert p == mcnemar_exact(groups[0].count(1.0), groups[0].count(-1.0))


def test_sign_flip_holds_its_level_with_tasks_and_draws() -> None:
    """Exchangeable outcomes are significant at 5 % in about 5 of 100 samples."""
    random = Random(4)
    found = 0
    for _ in range(400):
        tasks = [[random.random() - random.random() for _ in range(size)] for size in (8, 30)]
        found += sign_flip(tasks, seed=1, permutations=400) <= 0.05
    assert found <= 32, "5 % of 400 and three standard deviations"


@pytest.mark.parametrize(
    ("n", "discordant", "words"),
    [
        (57, 5 / 57, "no difference shown; n = 57 shows differences of 13 points or more"),
        (400, 0.0, "no difference shown; n = 400 shows differences of 2.0 points or more"),
        (3, 0.3, "no difference shown; n = 3 is too small to show any difference"),
        (0, 0.3, "no difference shown; no question was answered by both"),
    ],
)
def test_no_difference_is_said_with_what_could_be_shown(n: int, discordant: float, words: str) -> None:
    """Never without the smallest difference."""
    assert no_difference_words(n, discordant) == words


def test_an_assumed_share_of_discordant_pairs_is_stated() -> None:
    """Before anything is measured the smallest difference rests on an assumption."""
    assert power_words(400).endswith("if 20 % of the questions are answered right by only one of the two")
    assert smallest_difference(400) == smallest_difference(400, ASSUMED_DISCORDANT)
    with pytest.raises(ValueError):
        smallest_difference(10, 1.5)


@pytest.mark.parametrize(("n", "discordant"), [(60, 0.1), (90, 0.3), (400, 0.2), (400, 0.02), (1000, 0.5)])
def test_the_smallest_difference_is_found_in_four_of_five_samples(n: int, discordant: float) -> None:
    """By simulation: McNemar's test is significant, and the paired score interval, less discrete, is above 0."""
    difference = smallest_difference(n, discordant)
    assert difference is not None
    share = max(discordant, difference)
    random, above, significant = Random(n), 0, 0
    for _ in range(600):
        drawn = random.choices((1, -1, 0), ((share + difference) / 2, (share - difference) / 2, 1 - share), k=n)
        above += paired_score(drawn.count(1), drawn.count(-1), n).low > 0
        significant += mcnemar_exact(drawn.count(1), drawn.count(-1)) <= 0.05
    assert 0.65 <= significant / 600 <= 0.9 and above / 600 >= 0.75


def test_a_small_task_reduces_the_effective_number_of_pairs() -> None:
    """Two tasks of the same size count fully, one of a single question nearly halves them to its own weight."""
    equal: Sequence[Sequence[float]] = [[1.0, 0, -1.0, 0] * 5, [0.0] * 20]
    assert effective_pairs(equal) == pytest.approx((40.0, 0.25))
    assert effective_pairs([[1.0], [0.0] * 99])[0] == pytest.approx(3.96)
    assert effective_pairs([]) == effective_pairs([[]]) == (0.0, 0.0)


def test_seeds_that_differ_hide_small_differences() -> None:
    """The part of the seeds is added to that of the questions; with one seed there is none."""
    assert smallest_over_seeds(0.05, [0.3]) == 0.05 and smallest_over_seeds(None, [0.3, 0.4]) is None
    several = smallest_over_seeds(0.05, [0.25, 0.26, 0.34])
    assert several is not None and 0.15 < several < 0.3
    assert smallest_over_seeds(0.05, [0.1, 0.9]) is None


def test_wilson_and_the_mean_over_one_task_are_the_same() -> None:
    """One rule for shares everywhere."""
    found, expected = mean_share_over_tasks([[1.0] * 7 + [0.0] * 3]), wilson(7, 10)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
