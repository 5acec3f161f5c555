from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from leaderboards.stats.families import samples
from leaderboards.stats.seeds import (
    mean_squares,
    new_items_error,
    prediction_interval,
    summarize,
    variance_components,
)
from leaderboards.stats.winner import shrink_best, smallest_detectable

VALUES = st.floats(-1e6, 1e6)


@given(st.lists(VALUES, min_size=2, max_size=8))
def test_mean_deviation_and_interval_are_those_of_other_libraries(values):
    found = summarize(values)
    assert found.mean == pytest.approx(statistics.mean(values), abs=1e-6)
    assert found.std == pytest.approx(statistics.stdev(values), abs=1e-6)
    if found.std > 1e-9:
        low, high = stats.t.interval(
            0.95, len(values) - 1, statistics.mean(values), found.std / math.sqrt(len(values))
        )
        assert found.interval == pytest.approx((low, high), rel=1e-9, abs=1e-6)


def test_one_value_has_no_spread():
    found = summarize([3.0])
    assert (found.mean, found.std, found.interval, found.new_items) == (3.0, None, None, None)


def test_perplexities_are_averaged_in_logarithms():
    found = summarize([50.0, 60.0, 90.0], "log")
    assert found.mean == pytest.approx(statistics.geometric_mean([50.0, 60.0, 90.0]))
    low, high = found.interval
    assert found.mean**2 == pytest.approx(low * high)
    assert summarize([0.0, 1.0], "log").scale == "plain"


@pytest.mark.parametrize("values", [[1e308, -1e308], [1.7e308, 1.7e308, 0.0], [5e-324, 0.0]])
def test_extreme_values_do_not_raise(values):
    assert math.isfinite(summarize(values).mean)


def test_mean_squares_by_hand():
    # Two seeds, three items. Means 2 and 3 by seed, 1.5, 2, 4 by item, 2.5 in all.
    contributions = np.array([[1.0, 2.0, 3.0], [2.0, 2.0, 5.0]])
    of_seeds, of_items, rest = mean_squares(contributions)
    assert of_seeds == pytest.approx(3 * ((2 - 2.5) ** 2 + (3 - 2.5) ** 2) / 1)
    assert of_items == pytest.approx(2 * (1.0**2 + 0.5**2 + 1.5**2) / 2)
    residuals = [1 - 2 - 1.5 + 2.5, 2 - 2 - 2 + 2.5, 3 - 2 - 4 + 2.5]
    assert rest == pytest.approx(2 * sum(r * r for r in residuals) / 2)


def test_components_are_recovered():
    generator = np.random.default_rng(1)
    found = [
        variance_components(
            generator.normal(0, 0.3, (10, 1))
            + generator.normal(0, 1, (1, 200))
            + generator.normal(0, 0.5, (10, 200))
        )
        for _ in range(300)
    ]
    assert np.mean([c.seeds for c in found]) == pytest.approx(0.09, rel=0.1)
    assert np.mean([c.items for c in found]) == pytest.approx(1.0, rel=0.05)
    assert np.mean([c.rest for c in found]) == pytest.approx(0.25, rel=0.02)


def test_without_seed_effects_only_items_count():
    items = np.random.default_rng(2).normal(0, 1, 500)
    error, freedom = new_items_error(np.stack([items, items, items]))
    assert error == pytest.approx(items.std(ddof=1) / math.sqrt(500))
    assert freedom == pytest.approx(499)


def test_without_items_effects_only_seeds_count():
    seeds = np.array([1.0, 2.0, 4.0, 5.0])
    error, freedom = new_items_error(np.repeat(seeds[:, None], 50, 1))
    assert error == pytest.approx(seeds.std(ddof=1) / 2)
    assert freedom == pytest.approx(3)


def test_the_best_of_equal_cells_is_drawn_to_the_others():
    generator = np.random.default_rng(4)
    measured, expected = [], []
    for _ in range(500):
        found = shrink_best(samples(list(generator.normal(0, 1, (8, 5)))), higher_is_better=True)
        measured.append(found.mean)
        expected.append(found.expected)
    # The largest of 8 means of 5 is 1.42 standard errors too high on average (order statistics of the normal).
    assert np.mean(measured) == pytest.approx(1.4236 / math.sqrt(5), abs=0.05)
    assert abs(np.mean(expected)) < 0.25 * np.mean(measured)


def test_a_clear_best_is_hardly_changed():
    runs = samples([[10.0, 10.1, 9.9], [20.0, 20.1, 19.9], [30.0, 30.1, 29.9]])
    found = shrink_best(runs, higher_is_better=False)
    assert (found.best, found.mean) == (0, pytest.approx(10.0))
    assert found.expected == pytest.approx(10.0, abs=0.01)


def test_the_smallest_detectable_difference_of_two_cells_is_that_of_power_tables():
    # Two-sided t test at 5 %, 10 a group: power .8 at 1.325 standard deviations (Cohen 1988, table 2.3).
    generator = np.random.default_rng(0)
    values = [generator.normal(0, 1, 10) for _ in range(2)]
    deviation = math.sqrt(np.mean([v.var(ddof=1) for v in values]))
    found = smallest_detectable(samples(values), one_against_all=True)
    assert found / deviation == pytest.approx(1.325, abs=0.005)
    assert smallest_detectable(samples([[1.0] * 3, [2.0] * 3]), one_against_all=True) is None


def test_a_new_run_falls_into_the_prediction_interval_as_often_as_it_says():
    generator = np.random.default_rng(6)
    inside = 0
    for _ in range(2000):
        *runs, new = generator.normal(50, 2, 4)
        low, high = prediction_interval(runs)
        inside += low <= new <= high
    assert abs(inside / 2000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)
    assert prediction_interval([1.0]) is None
    low, high = prediction_interval([50.0, 60.0, 72.0], "log")
    assert low * high == pytest.approx(60.0**2)
