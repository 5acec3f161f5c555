"""Axes of charts hold what they are made for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellzoo.pages.axis import linear_axis, logarithmic_axis

NUMBERS = st.floats(-1e12, 1e12, allow_subnormal=False)


@given(NUMBERS, NUMBERS, st.booleans())
def test_a_linear_axis_holds_its_values_and_its_ticks_rise(one, other, to_ticks):
    low, high = sorted((one, other))
    axis = linear_axis(low, high, to_ticks=to_ticks)
    assert axis.low <= low + 1e-9 * abs(low)
    assert axis.high >= high - 1e-9 * abs(high)
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert 1 <= len(axis.ticks) <= 9
    assert all(0 <= axis.share(tick) <= 1 for tick in axis.ticks)
    labels = [axis.label(tick) for tick in axis.ticks]
    if high - low > 1e-3 * max(abs(low), abs(high)):
        assert len(set(labels)) == len(labels)


def test_round_ticks():
    axis = linear_axis(0.31, 0.98)
    assert axis.ticks == (0.2, 0.4, 0.6, 0.8, 1.0)
    assert [axis.label(tick) for tick in axis.ticks] == ["0.2", "0.4", "0.6", "0.8", "1.0"]
    inside = linear_axis(0.31, 0.98, to_ticks=False)
    assert (inside.low, inside.high, inside.ticks) == (0.31, 0.98, (0.4, 0.6, 0.8))


@pytest.mark.parametrize(
    ("values", "is_logarithmic"),
    [((3.0, 3.0), False), ((0.0, 0.0), False), ((100, 1e4), True), ((0.02, 0.021), False), ((-5, 7), False)],
)
def test_an_axis_of_ratios_where_they_are_worth_reading(values, is_logarithmic):
    axis = logarithmic_axis(*map(float, values))
    assert axis.logarithmic == is_logarithmic
    assert all(0 <= axis.share(value) <= 1 for value in (*values, *axis.ticks))
    if is_logarithmic:
        assert axis.share(1e3) == pytest.approx(0.5)


def test_what_is_outside_lies_at_an_end():
    axis = linear_axis(1, 2)
    assert [axis.share(value) for value in (-math.inf, 0, 3, math.inf)] == [0, 0, 1, 1]
    whole = linear_axis(-1.7e308, 1.7e308, to_ticks=False)
    assert whole.share(0) == pytest.approx(0.5)


@pytest.mark.parametrize(("low", "high"), [(1.0, math.inf), (5e-324, 1.0), (5e-324, 1.7e308), (2.0, 1.7e308)])
def test_an_axis_of_ratios_has_finite_ends(low, high):
    """Such as perplexities of a model that diverged."""
    axis = logarithmic_axis(low, high)
    assert axis.logarithmic
    assert 0 < axis.low < axis.high < math.inf
    assert axis.share(low) < axis.share(high)
    assert all(math.isfinite(tick) and axis.low <= tick <= axis.high for tick in axis.ticks)
