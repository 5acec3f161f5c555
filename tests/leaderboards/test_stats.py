from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.stats import (
    RankRange,
    rank_ranges,
    separated,
    summarize,
    t_cdf,
    t_quantile,
    welch_p_value,
)

VALUES = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 6))


def test_mean_and_deviation_of_known_values():
    # Deviations from 5 are -3, -1, -1, -1, 0, 0, 2, 4: squares sum to 32.
    summary = summarize([2, 4, 4, 4, 5, 5, 7, 9])
    assert summary.n == 8
    assert summary.mean == 5
    assert summary.std == pytest.approx(math.sqrt(32 / 7), rel=1e-15)


def test_two_seeds_have_the_interval_of_the_cauchy_quantile():
    # With one degree of freedom the t distribution is Cauchy's: its 97.5 % point is tan(0.475 pi).
    summary = summarize([10.0, 12.0])
    half = math.tan(0.475 * math.pi) * math.sqrt(2) / math.sqrt(2)
    assert summary.interval == pytest.approx((11 - half, 11 + half), rel=1e-12)


def test_one_seed_has_neither_deviation_nor_interval():
    summary = summarize([41.5])
    assert (summary.mean, summary.std, summary.interval) == (41.5, None, None)


@given(st.lists(VALUES, min_size=2, max_size=20))
def test_deviation_agrees_with_the_statistics_module(values):
    summary = summarize(values)
    assert summary.mean == pytest.approx(statistics.fmean(values), rel=1e-12, abs=1e-9)
    assert summary.std == pytest.approx(statistics.stdev(values), rel=1e-9, abs=1e-9)


@given(st.lists(VALUES, min_size=2, max_size=20))
def test_interval_is_centred_and_holds_the_mean(values):
    summary = summarize(values)
    low, high = summary.interval
    assert low <= summary.mean <= high
    assert (low + high) / 2 == pytest.approx(summary.mean, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 3, 4.2, 9, 29, 99, 1000])
@pytest.mark.parametrize("probability", [0.5, 0.9, 0.975, 0.9995])
def test_t_quantile_agrees_with_scipy(freedom, probability):
    scipy_stats = pytest.importorskip("scipy.stats")
    assert t_quantile(probability, freedom) == pytest.approx(
        scipy_stats.t.ppf(probability, freedom), rel=1e-9, abs=1e-12
    )


# Rounded, since scipy itself loses digits for t near 0.
@given(st.floats(-100, 100).map(lambda t: round(t, 2)), st.floats(1, 500))
def test_t_distribution_agrees_with_scipy(t, freedom):
    scipy_stats = pytest.importorskip("scipy.stats")
    assert t_cdf(t, freedom) == pytest.approx(scipy_stats.t.cdf(t, freedom), abs=1e-11)


@given(st.floats(-1e6, 1e6))
def test_t_distribution_with_one_degree_of_freedom_is_cauchys(t):
    assert t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, abs=1e-14)


@given(st.floats(-1e6, 1e6))
def test_t_distribution_with_two_degrees_of_freedom_has_a_closed_form(t):
    assert t_cdf(t, 2) == pytest.approx(0.5 + t / (2 * math.sqrt(2 + t * t)), abs=1e-14)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1.0, 2.0], [3.0, 4.5]),
        ([88.1, 88.4, 87.9, 88.0, 88.8], [89.0, 89.3, 91.0]),
        ([1.0, 1.0, 1.01], [1.2, 1.3]),
        ([1e-9, 2e-9, 3e-9], [1e6, 2e6]),
    ],
)
def test_welch_agrees_with_scipy(a, b):
    scipy_stats = pytest.importorskip("scipy.stats")
    expected = scipy_stats.ttest_ind(a, b, equal_var=False).pvalue
    assert welch_p_value(summarize(a), summarize(b)) == pytest.approx(expected, rel=1e-8)


def test_without_any_spread_only_equal_means_are_alike():
    same, again, other = summarize([3.0, 3.0]), summarize([3.0, 3.0, 3.0]), summarize([4.0, 4.0])
    assert not separated(same, again)
    assert separated(same, other)


def test_welch_refuses_a_single_value():
    with pytest.raises(ValueError, match="two values"):
        welch_p_value(summarize([1.0]), summarize([1.0, 2.0]))


def test_clear_differences_give_certain_ranks():
    entries = [summarize([value, value + 0.01, value - 0.01]) for value in (10.0, 30.0, 20.0)]
    assert rank_ranges(entries, higher_is_better=True) == [RankRange(3, 3), RankRange(1, 1), RankRange(2, 2)]
    assert rank_ranges(entries, higher_is_better=False) == [RankRange(1, 1), RankRange(3, 3), RankRange(2, 2)]


def test_entries_that_are_not_told_apart_share_ranks():
    near, nearer, far = (summarize(v) for v in ([10.0, 10.4, 10.2], [10.1, 10.5, 10.3], [2.0, 2.1, 2.2]))
    assert [str(r) for r in rank_ranges([near, nearer, far], higher_is_better=True)] == ["1–2", "1–2", "3"]


def test_one_seed_is_told_apart_from_nothing():
    single, good, bad = summarize([1e9]), summarize([10.0, 10.1, 10.2]), summarize([2.0, 2.1, 2.2])
    assert [str(r) for r in rank_ranges([single, good, bad], higher_is_better=True)] == ["1–3", "1–2", "2–3"]


@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=6), st.booleans())
def test_ranks_are_consistent(entries, higher):
    summaries = [summarize(values) for values in entries]
    ranges = rank_ranges(summaries, higher_is_better=higher)
    best = (max if higher else min)(range(len(entries)), key=lambda index: summaries[index].mean)
    assert ranges[best].first == 1
    assert all(1 <= r.first <= r.last <= len(entries) for r in ranges)
    mirrored = rank_ranges(summaries, higher_is_better=not higher)
    n = len(entries)
    assert [(n + 1 - r.last, n + 1 - r.first) for r in ranges] == [(r.first, r.last) for r in mirrored]


@pytest.mark.parametrize("values", [[1e308, -1e308], [1.7e308, 1.7e308, 0.0], [5e-324, 0.0]])
def test_extreme_values_do_not_raise(values):
    summary = summarize(values)
    assert math.isfinite(summary.mean)
    assert rank_ranges([summary, summarize([1.0, 2.0])], higher_is_better=True)
