"""The same random configurations for every cell, and its best on dev evaluated."""

from __future__ import annotations

import random

import pytest

from cellzoo.errors import CellzooError, UnknownNameError
from tasks.registry import find_task
from tasks.runs import run_suite
from tasks.runs.record_key import key_of
from tasks.settings import configure, plain
from tasks.suites.suite import parse_suite
from tasks.task_file import parse_task_file
from tasks.tuning.space import Range, describe, draw, task_space

CELLS = ("lstm", "gru")
BOTH = parse_suite(
    '[[task]]\nname = "tuned_task:Tuned"\n[[task]]\nname = "tuned_task:Reads"\n', name="both", source="both"
)


def go(out, suite="tuned_task:Tuned", cells=CELLS, **options):
    return run_suite(suite, cells, **{"seeds": 2, "out": out, "executor": "serial", "device": "cpu", **options})


def by_purpose(report, purpose, task="tuned"):
    return [r for r in report.records if r.purpose == purpose and r.task.name == task]


def test_each_cell_is_evaluated_with_its_best_of_the_same_configurations(tmp_path):
    report = go(tmp_path, tune=12)
    trials = by_purpose(report, "tuning")
    drawn = {cell: {r.tuning.trial: r.configuration for r in trials if r.cell.name == cell} for cell in CELLS}
    assert drawn["lstm"] == drawn["gru"]
    rates = [configuration["rate"] for configuration in drawn["lstm"].values()]
    assert len(set(rates)) == len(rates)
    failed = 12 - len(rates)
    assert {r.seed for r in trials} == {2**32 - 1}
    evaluations = by_purpose(report, "evaluation")
    for cell, goal in (("lstm", 0.8), ("gru", 0.2)):
        best = min(rates, key=lambda rate, goal=goal: abs(rate - goal))
        mine = [r for r in evaluations if r.cell.name == cell]
        assert [r.seed for r in mine] == [0, 1]
        assert {r.configuration["rate"] for r in mine} == {best}
        assert {r.tuning.trials for r in mine} == {12}
        assert all(key_of(r) == r.key for r in [*mine, *trials])
        assert drawn[cell][mine[0].tuning.trial] == mine[0].configuration
        assert any(f"{cell}: {failed} of 12 trials failed" in note for note in report.notes) == (failed > 0)
    (baseline, _) = [r for r in evaluations if r.cell.kind == "baseline"]
    assert (baseline.tuning, baseline.configuration["rate"]) == (None, 0.5)
    report.raise_for_failures()


def test_more_trials_keep_those_that_are_there_and_all_again_is_nothing(tmp_path):
    first = go(tmp_path, tune=3, cells=("lstm",))
    again = go(tmp_path, tune=3, cells=("lstm",))
    assert again.made == 0
    assert again.records == first.records
    more = go(tmp_path, tune=5, cells=("lstm",))
    kept = {r.key for r in by_purpose(first, "tuning")}
    assert kept < {r.key for r in by_purpose(more, "tuning")}
    # The best may be the same one, but it is the best of more, which is another protocol.
    assert not {r.key for r in by_purpose(first, "evaluation") if r.cell.hash} & {
        r.key for r in by_purpose(more, "evaluation")
    }


def test_what_reads_a_tuned_run_and_confirms_it_has_its_configuration(tmp_path):
    report = go(tmp_path, BOTH, tune=4, confirm=1)
    keys = {r.key: r for r in report.records}
    readers = [r for r in report.records if r.task.name == "reads"]
    assert len(readers) == 2 * 2 + 1
    for reader in readers:
        assert reader.tuning == keys[reader.after].tuning
        assert reader.tuning.trials == 4
    (confirmed,) = by_purpose(report, "confirmation")
    evaluation = next(
        r for r in by_purpose(report, "evaluation") if r.cell.name == confirmed.cell.name and r.seed == 0
    )
    assert (confirmed.configuration, confirmed.tuning) == (evaluation.configuration, evaluation.tuning)
    assert any("reads is not tuned" in note for note in report.notes)


def test_a_cell_none_of_whose_trials_has_a_result_is_left_out(tmp_path):
    report = go(tmp_path, tune=2, settings={"fault": "input", "victim": "gru-4294967295"})
    assert {r.cell.name for r in by_purpose(report, "evaluation")} == {"lstm", "nothing"}
    assert any("tuned, gru: is not evaluated" in note for note in report.notes)


def test_what_the_user_sets_is_not_drawn(tmp_path):
    report = go(tmp_path, tune=2, cells=("lstm",), settings={"rate": 0.25})
    assert {r.configuration["rate"] for r in report.records} == {0.25}
    assert {tuple(r.tuning.space) for r in by_purpose(report, "tuning")} == {("label",)}
    with pytest.raises(CellzooError, match="--tune has nothing to draw"):
        go(tmp_path, tune=2, settings={"rate": 0.25, "label": "a"})


def test_the_default_space_is_that_of_the_settings_a_task_has():
    task = find_task("wnut17")
    space = task_space(task.name, task.settings, task.tuning, ())
    assert {"learning_rate", "locked_dropout", "init"} < space.keys()
    assert "dropout_e" not in space
    own = configure(task.settings, {}, "wnut17")
    many = [draw(space, own, "wnut17", number) for number in range(300)]
    assert many[:5] == [draw(space, own, "wnut17", number) for number in range(5)]
    assert draw(space, own, "rte", 0) != many[0]
    fewer = {name: found for name, found in space.items() if name != "init"}
    assert draw(fewer, own, "wnut17", 7) == {k: v for k, v in many[7].items() if k != "init"}
    rates = sorted(drawn["learning_rate"] for drawn in many)
    assert own.learning_rate / 10 <= rates[0] < own.learning_rate / 8
    assert 8 * own.learning_rate < rates[-1] <= own.learning_rate * 10
    assert rates[150] == pytest.approx(own.learning_rate, rel=0.5)
    assert {drawn["init"] for drawn in many} == {"uniform", "published"}
    for drawn in many[:20]:
        assert plain(configure(task.settings, {**plain(own), **drawn}, "wnut17"))["init"] == drawn["init"]
    assert describe(space)["learning_rate"] == {"factor": 10.0}


def test_ranges_say_what_they_need():
    generator = random.Random(3)
    assert {Range(low=1, high=3).draw(2, generator) for _ in range(50)} == {1, 2, 3}
    logs = [Range(low=0.01, high=1, log=True).draw(0.5, generator) for _ in range(200)]
    assert sum(value < 0.1 for value in logs) == pytest.approx(100, abs=30)
    for wrong in ({}, {"low": 1.0}, {"low": 2.0, "high": 1.0}, {"low": 0.0, "high": 1.0, "log": True}):
        with pytest.raises(ValueError, match="low"):
            Range(**wrong)
    text = (
        'name = "x"\ntitle = "X"\nrevision = 1\nproblem = "tagging"\n[tuning]\nlearning_rat = {factor = 2.0}\n'
    )
    for range_, words in (
        ("{facto = 2.0}", "unknown key 'facto'. Did you mean 'factor'"),
        ("{factor = inf}", "learning_rat.factor' is inf; it must be a finite number"),
        ("{low = nan, high = 1}", "learning_rat.low' is nan; it must be a finite number"),
    ):
        with pytest.raises(CellzooError, match=words):
            parse_task_file(text.replace("{factor = 2.0}", range_), "x.toml")
    own = parse_task_file(text, "x.toml").tuning
    with pytest.raises(UnknownNameError, match="Did you mean 'learning_rate'"):
        task_space("x", find_task("wnut17").settings, own, ())
    own = find_task("wnut17").settings()
    with pytest.raises(CellzooError, match=r"tuning.vectors.*number above 0"):
        draw({"vectors": Range(factor=2.0)}, own, "wnut17", 0)
