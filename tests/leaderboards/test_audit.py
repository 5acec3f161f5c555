from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from leaderboards.audit.page import render
from leaderboards.audit.simulation import audit, power, shares_of
from leaderboards.audit.worlds import METRICS, Setting, simulate


@pytest.mark.parametrize("metric", METRICS)
def test_the_truth_of_a_world_is_what_many_trainings_give(metric):
    world = simulate(Setting(metric, 2, 1500, 300), np.random.default_rng(1))
    for values, truth in zip(world.values, world.this_test_set, strict=True):
        assert values.mean() == pytest.approx(truth, abs=5 * values.std() / math.sqrt(1500))
    generator = np.random.default_rng(2)
    fresh = np.array([np.mean(simulate(Setting(metric, 2, 2, 300), generator).values) for _ in range(300)])
    assert fresh.mean() == pytest.approx(world.new_test_sets[0], abs=5 * fresh.std() / math.sqrt(300) + 1e-3)


def within(tally, name, target):
    """Four binomial standard errors about the target."""
    share, trials = tally.share(name), tally.trials[name]
    assert abs(share - target) < 4 * math.sqrt(target * (1 - target) / trials), (name, share)


@pytest.mark.parametrize("metric", ["f1", "perplexity"])
def test_intervals_hold_the_truth_as_often_as_they_say(metric):
    tally = audit(Setting(metric, 6, 3, 150), 150, np.random.default_rng(7))
    for name in ("coverage here", "coverage new"):
        # The cells of a board share their items, so they count as one trial.
        assert abs(tally.share(name) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 150)
    for name in ("simultaneous Dunnett", "simultaneous Tukey", "simultaneous new"):
        within(tally, name, 0.95)
    for name in ("false Dunnett", "false Tukey", "false new"):
        within(tally, name, 0.05)
    assert abs(tally.share("bias shrunk")) < 0.5 * abs(tally.share("bias best"))


def test_what_a_board_does_not_use_fails_where_it_should():
    tally = audit(Setting("accuracy", 10, 3, 100), 40, np.random.default_rng(8), others=True)
    assert tally.share("false Welch") > 0.4


def test_the_difference_that_a_board_states_is_found_in_four_of_five():
    setting = Setting("perplexity", 4, 5, 1500, shift=-0.0603, same_on_items=True)
    tally = power(setting, 200, np.random.default_rng(9))
    # A run varies by sqrt(.025² + .8² · .3 / 1500 · 1.04) = .0275; Dunnett's value for 3 and 16 is 2.59, and
    # (2.59 + .86) · .0275 · sqrt(2 / 5) = .060.
    assert -tally.share("difference") == pytest.approx(0.0603, abs=1e-6)
    assert tally.share("stated") == pytest.approx(0.0603, rel=0.06)
    assert tally.share("found") == pytest.approx(0.8, abs=4 * math.sqrt(0.8 * 0.2 / 200))


def test_the_page_is_written_from_the_shares():
    text = render([shares_of((0, Setting("accuracy", 3, 3, 40), 8))])
    assert "family error of ranks, this test set" in text
    assert "nan" not in text


def test_the_page_of_the_docs_shows_its_numbers():
    docs = Path(__file__).parents[2] / "docs"
    results = json.loads((docs / "statistics.json").read_text(encoding="utf-8"))
    assert render(results) == (docs / "statistics.md").read_text(encoding="utf-8")
