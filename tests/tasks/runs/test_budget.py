"""A budget is a setting of every task that trains."""

from __future__ import annotations

import pytest

from cellzoo.errors import CellzooError
from tasks.runs.budget import with_budget
from tasks.runs.plan import plan_tasks
from tasks.runs.run import run_suite
from tasks.suites.suite import find_suite


@pytest.mark.parametrize(
    ("budget", "settings"),
    [
        ("600s", {"max_seconds": 600.0}),
        ("10min", {"max_seconds": 600.0}),
        ("2h", {"max_seconds": 7200.0}),
        ("20epochs", {"epochs": 20}),
        ("1epoch", {"epochs": 1}),
    ],
)
def test_seconds_and_epochs(budget, settings):
    assert with_budget({"hidden_size": 3}, budget) == {"hidden_size": 3, **settings}
    planned = {one.name: one.config for one in plan_tasks(find_suite("demo"), with_budget({}, budget))}
    for name, value in settings.items():
        assert {getattr(config, name, value) for config in planned.values()} == {value}
        assert getattr(planned["small-ner"], name) == value


@pytest.mark.parametrize("budget", ["0s", "600", "s", "5 years", "-3s", "1.5h", ""])
def test_what_is_not_a_budget(budget):
    with pytest.raises(CellzooError, match="expected seconds or epochs"):
        with_budget({}, budget)


def test_two_budgets_are_one_too_many():
    with pytest.raises(CellzooError, match=r"news-lm\.epochs is given with --set, too"):
        with_budget({"news-lm.epochs": 3}, "3epochs")


def test_a_run_ends_with_its_budget(tmp_path):
    report = run_suite(
        "fake_task:Fake", ["lstm"], 1, budget="5epochs", out=tmp_path, executor="serial", device="cpu"
    )
    assert len(report.records[0].history) == 5
