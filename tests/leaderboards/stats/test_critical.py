from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import rankdata

from leaderboards.stats.critical import critical_difference


def test_the_example_of_demsar():
    # Demšar 2006, table 6 and section 3.2.2: k = 4 and N = 14 give 2.569 sqrt(4 * 5 / (6 * 14)) = 1.25.
    found = critical_difference(np.random.default_rng(0).normal(size=(14, 4)).tolist())
    assert found.difference == pytest.approx(2.569 * math.sqrt(20 / 84), abs=1e-3)
    assert found.difference == pytest.approx(1.25, abs=0.01)


@pytest.mark.parametrize(("cells", "quantile"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_quantiles_of_demsars_table_5(cells, quantile):
    found = critical_difference(np.random.default_rng(1).normal(size=(20, cells)).tolist())
    assert found.difference / math.sqrt(cells * (cells + 1) / 120) == pytest.approx(quantile, abs=1e-3)


def test_ranks_are_means_over_tasks_and_ties_share_theirs():
    generator = np.random.default_rng(2)
    scores = generator.integers(0, 5, size=(12, 4)).astype(float)
    found = critical_difference(scores.tolist())
    assert found.ranks == pytest.approx(np.mean([rankdata(-row) for row in scores], axis=0))
    assert sum(found.ranks) == pytest.approx(4 * 5 / 2)


def test_friedman_holds_its_level_where_all_are_alike():
    generator = np.random.default_rng(3)
    small = sum(critical_difference(generator.normal(size=(12, 4)).tolist()).p < 0.05 for _ in range(500))
    assert 10 <= small <= 40  # 25 expected; five standard deviations are 24


def test_too_few_tasks_or_cells_and_no_difference_at_all():
    assert critical_difference([[1.0, 2.0, 3.0]] * 9) is None
    assert critical_difference([[1.0, 2.0]] * 12) is None
    assert critical_difference([[1.0, 1.0, 1.0]] * 12).p == 1.0
