"""Tests of the statistics against libraries: scipy, statsmodels and numpy give the same numbers to 1e-9."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflectevo_tui.experiment.paired_estimates import paired
from store.evaluation.comparisons import difference
from store.evaluation.intervals import RESAMPLES, bootstrap_mean, bootstrap_mean_over_groups, mcnemar_exact, wilson

numpy = pytest.importorskip("numpy")
stats = pytest.importorskip("scipy.stats")
proportion = pytest.importorskip("statsmodels.stats.proportion")
contingency = pytest.importorskip("statsmodels.stats.contingency_tables")

VALUES = st.lists(st.floats(-10, 10, allow_nan=False), min_size=1, max_size=12)


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


def _resampled_means(groups: list[list[float]], seed: int) -> object:
    """The same resamples, drawn one index at a time and averaged by numpy."""
    random = Random(seed)
    means = numpy.empty(RESAMPLES)
    for position in range(RESAMPLES):
        drawn = [[int(random.random() * len(group)) for _ in group] for group in groups]
        means[position] = numpy.mean(
            [numpy.mean(numpy.take(group, at)) for group, at in zip(groups, drawn, strict=True)]
        )
    return means


@given(st.lists(VALUES, min_size=1, max_size=3), st.integers(0, 2**31))
@settings(max_examples=8, deadline=None)
def test_the_bootstrap_is_the_percentile_interval_of_its_resamples(groups: list[list[float]], seed: int) -> None:
    """Order statistics, the low end rounded down and the high end up: numpy's `lower` and `higher`."""
    interval = bootstrap_mean_over_groups(groups, seed)
    means = _resampled_means(groups, seed)
    assert interval.low == pytest.approx(float(numpy.quantile(means, 0.025, method="lower")), abs=1e-9)
    assert interval.high == pytest.approx(float(numpy.quantile(means, 0.975, method="higher")), abs=1e-9)
    if len(groups) == 1:
        assert bootstrap_mean(groups[0], seed) == interval


def test_the_bootstrap_agrees_with_scipy_up_to_its_noise() -> None:
    """Another random number generator and implementation: the bounds agree within the Monte Carlo error."""
    values = [1.0] * 33 + [-1.0] * 12 + [0.0] * 155
    theirs = stats.bootstrap(
        (values,), numpy.mean, n_resamples=20_000, method="percentile", rng=numpy.random.default_rng(1)
    ).confidence_interval
    ours = bootstrap_mean(values, seed=5, resamples=20_000)
    assert ours.low == pytest.approx(theirs.low, abs=0.006)
    assert ours.high == pytest.approx(theirs.high, abs=0.006)


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
    means = _resampled_means([list(changes)], 0)
    assert found.low == pytest.approx(float(numpy.quantile(means, 0.025, method="lower")), abs=1e-9)
    assert found.high == pytest.approx(float(numpy.quantile(means, 0.975, method="higher")), abs=1e-9)

    groups = [[change for task, change in zip(tasks, changes, strict=True) if task == one] for one in "abc"]
    first, second = ({number: float(right) for number, right in enumerate(outcome)} for outcome in (before, after))
    weighed = paired(first, second, dict(enumerate(tasks)), seed=9).overall
    assert weighed.value == pytest.approx(numpy.mean([numpy.mean(group) for group in groups]), abs=1e-9)
    means = _resampled_means(groups, 9)
    assert weighed.low == pytest.approx(float(numpy.quantile(means, 0.025, method="lower")), abs=1e-9)
    assert weighed.high == pytest.approx(float(numpy.quantile(means, 0.975, method="higher")), abs=1e-9)
