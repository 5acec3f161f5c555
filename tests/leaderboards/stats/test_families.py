from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from leaderboards.stats.families import (
    Spread,
    against,
    against_on_new_items,
    dunnett_probability,
    holm,
    pairs,
    samples,
    spread_of,
    tukey_quantile,
)
from leaderboards.stats.models import item_randomization
from leaderboards.stats.ranks import RankRange, rank_ranges


def runs_of(cells, seeds, seed=0, spread=1.0):
    generator = np.random.default_rng(seed)
    return [generator.normal(0, spread, seeds + cell % 2) for cell in range(cells)]


def pooled(values):
    freedom = sum(len(v) - 1 for v in values)
    variance = sum(((v - v.mean()) ** 2).sum() for v in values) / freedom
    return Spread((variance,) * len(values), (float(freedom),) * len(values), pooled=True)


@pytest.mark.parametrize(("cells", "seeds"), [(2, 3), (5, 3), (12, 5)])
def test_all_pairs_are_those_of_scipy(cells, seeds):
    values = runs_of(cells, seeds)
    theirs = stats.tukey_hsd(*values)
    interval = theirs.confidence_interval()
    for (i, j), ours in pairs(samples(values), pooled(values)).items():
        assert ours.difference == pytest.approx(theirs.statistic[i, j])
        assert (ours.low, ours.high) == pytest.approx((interval.low[i, j], interval.high[i, j]), abs=1e-6)
        assert ours.p == pytest.approx(theirs.pvalue[i, j], abs=1e-9)


@pytest.mark.parametrize(("cells", "seeds"), [(3, 3), (8, 4)])
def test_one_against_all_is_that_of_scipy(cells, seeds):
    values = runs_of(cells, seeds, spread=2.0)
    theirs = stats.dunnett(*values[1:], control=values[0], rng=np.random.default_rng(1))
    ours = against(samples(values), 0, pooled(values))
    # scipy integrates by draws: its p values are right to about 1e-3.
    assert [ours[cell].p for cell in range(1, cells)] == pytest.approx(theirs.pvalue, abs=2e-3)


def test_dunnett_s_table():
    # Dunnett 1964, two-sided 5 %: 3 treatments and a control, 12 degrees of freedom; 9 and 20.
    assert dunnett_probability(2.68, (0.5,) * 3, 12) == pytest.approx(0.95, abs=1e-3)
    assert dunnett_probability(2.95, (0.5,) * 9, 20) == pytest.approx(0.95, abs=1.5e-3)


def test_tukey_s_table():
    # Studentized range, 5 %: 3.77 for 3 means and 12 degrees of freedom; 5.01 for 10 and 20.
    assert tukey_quantile(3, 12) * np.sqrt(2) == pytest.approx(3.77, abs=0.006)
    assert tukey_quantile(10, 20) * np.sqrt(2) == pytest.approx(5.01, abs=0.006)


def test_two_cells_are_student_s_t_test():
    first, second = runs_of(2, 4)
    ours = against(samples([first, second]), 0, pooled([first, second]))[1]
    assert ours.p == pytest.approx(stats.ttest_ind(first, second).pvalue, abs=1e-6)


def test_a_cell_that_diverges_keeps_its_spread_to_itself():
    calm = [np.array([50.0, 50.2, 49.9]), np.array([53.0, 53.1, 52.8]), np.array([50.1, 49.8, 50.0])]
    wild = np.array([10.0, 60.0, 45.0])
    spread = spread_of(samples([*calm, wild]))
    assert not spread.pooled
    compared = pairs(samples([*calm, wild]))
    assert compared[0, 1].apart
    assert not compared[0, 3].apart
    games_howell = stats.tukey_hsd(calm[0], calm[1], calm[2], wild, equal_var=False)
    # Ours rounds the degrees of freedom down to fifths.
    assert compared[0, 1].p == pytest.approx(games_howell.pvalue[0, 1], rel=0.1)


def test_bartlett_is_that_of_scipy():
    for seed in range(40):
        values = runs_of(4, 4, seed=seed)
        values[3] = values[3] * 6
        assert spread_of(samples(values)).pooled == (stats.bartlett(*values).pvalue >= 0.01)


def test_new_items_of_one_pair_are_the_paired_differences():
    generator = np.random.default_rng(3)
    difficulty = generator.normal(0, 1, 400)
    cells = [difficulty + generator.normal(0.1 * cell, 0.2, (5, 400)) for cell in range(2)]
    compared = against_on_new_items(cells, 0)[1]
    # Without a seed's effect the items alone decide: the paired t test over items.
    theirs = stats.ttest_rel(cells[1].mean(0), cells[0].mean(0))
    assert compared.difference == pytest.approx((cells[1] - cells[0]).mean())
    assert (compared.low, compared.high) == pytest.approx(theirs.confidence_interval(), rel=0.25)
    assert compared.high - compared.low < 0.2 * 2 * 1.96 * difficulty.std() / np.sqrt(400)


@pytest.mark.parametrize(("value", "wide"), [(0.0, False), (0.0, True), (0.25, False)])
def test_cells_that_are_alike_on_every_item_do_not_differ(value, wide):
    cells = [np.full((3, 5), value)] * (4 if wide else 2)
    for compared in against_on_new_items(cells, 0).values():
        assert (compared.difference, compared.low, compared.high, compared.statistic) == (0, 0, 0, 0)


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_ranks_follow_from_the_pairs():
    near, nearer, far = [10.0, 10.4, 10.2], [10.1, 10.5, 10.3], [2.0, 2.1, 2.2]
    assert [str(r) for r in rank_ranges([near, nearer, far], higher_is_better=True)] == ["1–2", "1–2", "3"]
    assert [str(r) for r in rank_ranges([near, nearer, far], higher_is_better=False)] == ["2–3", "2–3", "1"]


def test_two_seeds_have_no_rank_and_change_none():
    good, bad = [10.0, 10.1, 10.2], [2.0, 2.1, 2.2]
    assert rank_ranges([[1e9, 1e9], good, bad], higher_is_better=True) == [
        None,
        RankRange(1, 1),
        RankRange(2, 2),
    ]
    with pytest.raises(ValueError, match="3 seeds"):
        samples([[1.0, 2.0]])


def test_no_spread_at_all():
    compared = pairs(samples([[1.0] * 3, [1.0] * 3, [2.0] * 3]))
    assert (compared[0, 1].p, compared[0, 2].p) == (1.0, 0.0)
    assert (compared[0, 1].apart, compared[0, 2].apart) == (False, True)


def test_items_of_two_models_by_all_sign_changes():
    generator = np.random.default_rng(0)
    first, second = np.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0]), np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    # Four differ, all one way: 2 of 16 sign changes are as far.
    assert item_randomization(first, second, generator, draws=20_000) == pytest.approx(2 / 16, abs=0.01)
    assert item_randomization(first, first, generator) == 1.0
