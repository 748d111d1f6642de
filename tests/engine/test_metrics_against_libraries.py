"""Tests of the statistics against libraries: scipy, statsmodels and numpy give the same numbers to 1e-9."""

from __future__ import annotations

import math
from dataclasses import astuple
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflectevo_tui.experiment.paired_estimates import paired
from store.evaluation.comparisons import difference
from store.evaluation.intervals import (
    holm,
    mcnemar_exact,
    paired_score,
    sign_flip,
    student_mean,
    student_quantile,
    wilson,
)

numpy = pytest.importorskip("numpy")
stats = pytest.importorskip("scipy.stats")
optimize = pytest.importorskip("scipy.optimize")
multitest = pytest.importorskip("statsmodels.stats.multitest")
proportion = pytest.importorskip("statsmodels.stats.proportion")
contingency = pytest.importorskip("statsmodels.stats.contingency_tables")


@given(st.integers(1, 500_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_that_of_statsmodels_and_scipy(counts: tuple[int, int]) -> None:
    """Two libraries give the same interval."""
    successes, n = counts
    low, high = proportion.proportion_confint(successes, n, alpha=0.05, method="wilson")
    other = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    interval = wilson(successes, n)
    assert interval.low == pytest.approx(low, abs=1e-9) == pytest.approx(other.low, abs=1e-9)
    assert interval.high == pytest.approx(high, abs=1e-9) == pytest.approx(other.high, abs=1e-9)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_that_of_statsmodels_and_scipy(b: int, c: int) -> None:
    """The exact binomial test of the flips."""
    theirs = contingency.mcnemar([[3, b], [c, 7]], exact=True).pvalue
    assert mcnemar_exact(b, c) == pytest.approx(theirs, abs=1e-9)
    if b + c:
        assert mcnemar_exact(b, c) == pytest.approx(stats.binomtest(b, b + c, 0.5).pvalue, abs=1e-9)


@given(st.lists(st.floats(-10, 10, allow_nan=False), min_size=2, max_size=12))
def test_student_interval_is_that_of_scipy(values: list[float]) -> None:
    """Of a mean of tokens."""
    found = student_mean(values)
    error = numpy.std(values, ddof=1) / math.sqrt(len(values))
    half = stats.t.ppf(0.975, len(values) - 1) * error
    assert found is not None
    assert found.low == pytest.approx(numpy.mean(values) - half, abs=1e-6)
    assert found.high == pytest.approx(numpy.mean(values) + half, abs=1e-6)


@given(st.floats(0.5, 0.999), st.integers(1, 2000))
def test_student_quantiles_are_those_of_scipy(probability: float, freedom: int) -> None:
    """Odd and even degrees of freedom have different formulas."""
    assert student_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), abs=1e-7)


def _score_statistic(difference: float, gained: int, lost: int, n: int) -> float:
    """Tango's statistic with the restricted estimate found by maximising the likelihood numerically."""

    def loss(share_lost: float) -> float:
        both = 1 - 2 * share_lost - difference
        terms = [(gained, share_lost + difference), (lost, share_lost), (n - gained - lost, both)]
        return -sum(number * math.log(max(share, 1e-300)) for number, share in terms if number)

    least, most = max(0.0, -difference), (1 - difference) / 2
    share_lost = optimize.minimize_scalar(loss, bounds=(least, most), method="bounded", options={"xatol": 1e-12}).x
    variance = n * (2 * share_lost + difference - difference**2)
    return float((gained - lost - n * difference) / math.sqrt(variance))


@pytest.mark.parametrize(("gained", "lost", "n"), [(3, 2, 57), (10, 1, 90), (1, 4, 9), (30, 20, 400), (5, 5, 10)])
def test_paired_score_ends_are_where_the_score_test_is_significant(gained: int, lost: int, n: int) -> None:
    """Each end has the statistic ±1.96, with the variance at the numerically found maximum of the likelihood."""
    interval = paired_score(gained, lost, n)
    assert _score_statistic(interval.low, gained, lost, n) == pytest.approx(1.959964, abs=1e-3)
    assert _score_statistic(interval.high, gained, lost, n) == pytest.approx(-1.959964, abs=1e-3)


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_holm_is_that_of_statsmodels(p_values: dict[str, float]) -> None:
    """The adjusted p values, in the given order."""
    theirs = multitest.multipletests(list(p_values.values()), method="holm")[1]
    assert list(holm(p_values)) == list(p_values)
    assert list(holm(p_values).values()) == pytest.approx(list(theirs), abs=1e-12)


@given(st.lists(st.sampled_from([-1.0, -2 / 3, -1 / 3, 0.0, 1 / 3, 2 / 3, 1.0]), min_size=1, max_size=9))
@settings(max_examples=30, deadline=None)
def test_sign_flip_is_the_share_of_all_assignments(changes: list[float]) -> None:
    """All signs enumerated one by one; a p value by drawn assignments is near it."""
    sums = [sum(s * c for s, c in zip(signs, changes, strict=True)) for signs in product((1, -1), repeat=len(changes))]
    share = sum(abs(one) >= abs(sum(changes)) - 1e-9 for one in sums) / len(sums)
    assert sign_flip([changes], seed=0) == pytest.approx(share, abs=1e-9)
    assert sign_flip([changes], seed=0, permutations=1) in (0.5, 1.0) or share == sign_flip([changes], 0, 1)


def test_drawn_permutations_agree_with_scipy() -> None:
    """Too many assignments to enumerate."""
    random = Random(3)
    changes = [random.choice([1.0, 0.4, 0.3, -0.7, -0.2, 0.0]) for _ in range(80)]
    theirs = stats.permutation_test(
        (changes,), numpy.sum, permutation_type="samples", n_resamples=20_000, rng=numpy.random.default_rng(2)
    ).pvalue
    assert sign_flip([changes], seed=1) == pytest.approx(theirs, abs=0.01)


def test_the_paired_comparison_is_that_of_the_libraries() -> None:
    """Value, interval and p of a child against its parent, and of the mean over tasks, computed independently."""
    random = Random(4)
    tasks = [random.choice("abc") for _ in range(90)]
    before = [random.random() < 0.4 for _ in tasks]
    after = [was if random.random() < 0.7 else not was for was in before]
    found = difference([(number, was, now) for number, (was, now) in enumerate(zip(before, after, strict=True))])
    changes = numpy.array(after, float) - numpy.array(before, float)
    assert found.value == pytest.approx(changes.mean(), abs=1e-9)
    table = [[0, int((changes < 0).sum())], [int((changes > 0).sum()), 0]]
    assert found.p == pytest.approx(contingency.mcnemar(table, exact=True).pvalue, abs=1e-9)
    assert (found.low, found.high) == astuple(paired_score(len(found.gained), len(found.lost), 90))

    groups = [[change for task, change in zip(tasks, changes, strict=True) if task == one] for one in "abc"]
    first, second = ({number: float(right) for number, right in enumerate(outcome)} for outcome in (before, after))
    weighed = paired(first, second, dict(enumerate(tasks))).overall
    assert weighed.value == pytest.approx(numpy.mean([numpy.mean(group) for group in groups]), abs=1e-9)
    ends = [paired_score(group.count(1), group.count(-1), len(group)) for group in groups]
    below = numpy.hypot.reduce([numpy.mean(group) - end.low for group, end in zip(groups, ends, strict=True)]) / 3
    above = numpy.hypot.reduce([end.high - numpy.mean(group) for group, end in zip(groups, ends, strict=True)]) / 3
    assert weighed.low == pytest.approx(weighed.value - below, abs=1e-9)
    assert weighed.high == pytest.approx(weighed.value + above, abs=1e-9)
