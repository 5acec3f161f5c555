"""Searches followed by the training and test of found cells."""

from __future__ import annotations

import json
import statistics

import pytest
from fake_search import FAKE, search, toy

import cellzoo
from cellzoo.errors import CellzooError, RunError
from leaderboards.build import build_board
from leaderboards.collect import collect
from search.run.chain import Retrain
from search.run.summary import report_lines
from tasks.runs.record_file import read_record

RETRAIN = Retrain(test_seeds=(0, 4), beside=("gru",))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("chain")


@pytest.fixture(scope="module")
def report(place):
    return search(toy(place), place / "out", seeds=(0, 1), retrain=RETRAIN)


def records(out, task):
    found = [read_record(path) for path in sorted((out / "records").glob("*.json"))]
    return [record for record in found if record.task.name == task]


def test_every_found_cell_is_trained_briefly_and_the_best_fully(place, report):
    found = {one.cell.hash for one in report.found}
    by_length = {2: [], 3: []}
    for record in records(place / "out", "sums"):
        by_length[record.configuration["epochs"]].append(record)
    gru = cellzoo.load("gru").hash
    assert {record.cell.hash for record in by_length[2]} == {*found, gru}
    dev = {record.cell.hash: record.metrics["dev_error"].value for record in by_length[2]}
    best = min(found, key=dev.get)
    assert report.best.cell.hash == best
    assert {(r.cell.hash, r.seed) for r in by_length[3]} == {(c, s) for c in (best, gru) for s in (0, 4)}
    entry = cellzoo.entry(place / "out" / "found.toml")
    assert entry.cell.hash == best
    assert "best-of-2" in entry.name
    assert not report.failures


def test_a_record_for_each_search_says_its_cost_and_what_its_cell_is_worth(place, report):
    worth = {record.seed: record for record in records(place / "out", "search-sums")}
    assert sorted(worth) == [0, 1]
    names = {record.cell.name for record in worth.values()}
    assert len(names) == 1
    assert next(iter(names)).startswith("search-fake-tiny-")
    for one in report.found:
        record, brief = worth[one.seed], one.brief[0]
        assert record.primary == "dev_error"
        assert record.metrics["dev_error"].value == brief.metrics["dev_error"].value
        assert record.metrics["error"].value == brief.metrics["error"].value
        assert record.metrics["seconds_search"].value == record.timing.seconds["search"] > 0
        assert len(record.history) == 3
        items = (place / "out" / "records" / record.items.file).read_text().splitlines()
        assert json.loads(items[0])["record"] == brief.key
    having = [record for record in worth.values() if "best_error" in record.metrics]
    assert [record.seed for record in having] == [report.best.seed]
    mean = statistics.fmean(record.metrics["error"].value for record in report.full)
    assert having[0].metrics["best_error"].value == pytest.approx(mean)


def test_the_board_shows_cost_and_mean_beside_the_best(place, report):
    board = build_board(collect([place / "out"]), "test")
    table = next(table for table in board.tables if table.task == "search-sums")
    row = table.rows[0]
    assert next(column.name for column in table.columns) == "dev_error"
    values = [one.mean("dev_error") for one in report.found]
    assert row.metrics["dev_error"].mean == pytest.approx(statistics.fmean(values))
    assert row.metrics["dev_error"].n == 2
    assert row.metrics["best_error"].n == 1
    assert row.metrics["seconds_search"].n == 2
    titles = {column.name: column.title for column in table.columns}
    assert titles["best_error"] == "test mean squared error, best of 2 by dev, full, mean of 2 seeds"


def test_the_summary_never_names_the_best_alone(report):
    lines = list(report_lines(report))
    mean = next(n for n, line in enumerate(lines) if line.startswith("mean over 2 searches"))
    best = next(n for n, line in enumerate(lines) if line.startswith("best of 2"))
    assert mean < best


def test_the_same_again_makes_nothing_new(place, report):
    def times():
        return {path: path.stat().st_mtime_ns for path in (place / "out" / "records").iterdir()}

    before = times()
    again = search(toy(place), place / "out", seeds=(0, 1), retrain=RETRAIN)
    assert times() == before
    assert [one.cell for one in again.found] == [one.cell for one in report.found]
    assert [record.key for record in again.full] == [record.key for record in report.full]


class Stop:
    def __init__(self, count):
        self.count = count

    def __getattr__(self, name):
        return lambda *arguments: None

    def started(self, job):
        self.count -= 1
        if self.count == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("method", [FAKE, "random"])
def test_stopped_after_every_run_in_turn_nothing_is_lost_or_trained_twice(tmp_path, method):
    whole = search(toy(tmp_path, method), tmp_path / "whole", seeds=(0, 1), retrain=RETRAIN)
    made = {}
    for _ in range(40):
        try:
            search(toy(tmp_path, method), tmp_path / "parts", seeds=(0, 1), retrain=RETRAIN, listener=Stop(2))
            break
        except KeyboardInterrupt:
            there = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "parts" / "records").iterdir()}
            assert there.items() >= made.items()
            made = there
    parts = search(toy(tmp_path, method), tmp_path / "parts", seeds=(0, 1), retrain=RETRAIN)
    names = [{path.name for path in (tmp_path / name / "records").iterdir()} for name in ("whole", "parts")]
    assert names[0] == names[1]
    assert parts.best.cell == whole.best.cell


def test_a_search_that_stops_does_not_stop_the_others(tmp_path, monkeypatch):
    from fake_search import FakeMethod

    real = FakeMethod.step
    failing = {0}

    def step(self, batch, validation):
        if self.generator.initial_seed() in seeds:
            raise RunError("the training loss is nan")
        return real(self, batch, validation)

    seeds = set()
    built = FakeMethod.__init__

    def init(self, settings, problem, generator):
        built(self, settings, problem, generator)
        if init.number in failing:
            seeds.add(generator.initial_seed())
        init.number += 1

    init.number = 0
    monkeypatch.setattr(FakeMethod, "__init__", init)
    monkeypatch.setattr(FakeMethod, "step", step)
    done = search(toy(tmp_path), tmp_path / "out", seeds=(0, 1), retrain=Retrain(test_seeds=(0,)))
    assert [one.seed for one in done.found] == [1]
    assert done.searches == 2
    assert "stopped at epoch 1, step 1: the training loss is nan" in done.failures[0].message
    assert "best of 2 by" in "\n".join(report_lines(done))
    init.number, failing = 0, {0, 1}
    with pytest.raises(RunError, match=r"no search found a cell:\n.*seed 0.*\n.*seed 1"):
        search(toy(tmp_path, walk=0.4), tmp_path / "none", seeds=(0, 1))


def test_requests_that_cannot_be_done(place, tmp_path):
    for wrong, message in (
        ({"full": {"nonsense": 1}}, "unknown setting 'nonsense'"),
        ({"brief": {"epochs": 0}}, "epochs"),
        ({"beside": ("nonsense",)}, "unknown cell 'nonsense'"),
        ({"test_seeds": ()}, "no seed was given"),
        ({"test_seeds": (-1,)}, "seed -1"),
    ):
        with pytest.raises(CellzooError, match=message):
            search(toy(place), tmp_path / "none", retrain=Retrain(**wrong))
    assert not (tmp_path / "none").exists()


def test_a_cell_beside_with_the_graph_of_the_best_is_trained_once(place, report, tmp_path):
    """A record for each seed, of which none counts twice, and the records of the searches are written."""
    retrain = Retrain(test_seeds=(0, 0, 4), beside=(place / "out" / "found.toml",))
    done = search(toy(tmp_path), tmp_path / "out", seeds=(0, 1), retrain=retrain)
    assert done.best.cell == report.best.cell
    assert [record.seed for record in done.full] == [0, 4]
    assert len(records(tmp_path / "out", "search-sums")) == 2
