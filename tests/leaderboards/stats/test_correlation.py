from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from leaderboards.stats.correlation import rank_correlation


def counted(first, second):
    """Kendall's tau-b from the pairs themselves."""
    signs = [
        (np.sign(first[i] - first[j]), np.sign(second[i] - second[j]))
        for i, j in combinations(range(len(first)), 2)
    ]
    above = sum(a * b for a, b in signs)
    return above / math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))


def test_tau_is_the_count_of_pairs():
    generator = np.random.default_rng(0)
    for size in (5, 8, 30):
        first, second = generator.integers(0, 9, size), generator.integers(0, 9, size)
        found = rank_correlation(first.tolist(), second.tolist())
        assert found.tau == pytest.approx(counted(first, second), abs=1e-12)
        assert found.low < found.tau < found.high


@pytest.mark.parametrize(("size", "rho"), [(12, 0.6), (30, 0.0), (30, 0.8)])
def test_the_interval_covers_the_tau_of_a_normal_pair(size, rho):
    # tau = 2 / pi arcsin(rho); 2,000 draws put the coverage within .01 of its mean.
    generator = np.random.default_rng(1)
    true = 2 / math.pi * math.asin(rho)
    covered = 0
    for _ in range(2000):
        x, noise = generator.normal(size=(2, size))
        found = rank_correlation(x.tolist(), (rho * x + math.sqrt(1 - rho**2) * noise).tolist())
        covered += found.low <= true <= found.high
    assert 0.93 <= covered / 2000 <= 0.97


def test_the_same_and_the_opposite_order():
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    same, opposite = rank_correlation(values, values), rank_correlation(values, values[::-1])
    assert (same.tau, same.high) == (1.0, 1.0)
    assert (opposite.tau, opposite.low) == (-1.0, -1.0)
    assert same.low == pytest.approx(-opposite.high)
    assert -1 < same.low < 1


def test_too_little_to_correlate():
    assert rank_correlation([1, 2, 3, 4], [1, 2, 3, 4]) is None
    assert rank_correlation([1.0] * 6, [1, 2, 3, 4, 5, 6]) is None
