"""Search, retrain and test in one go."""

from __future__ import annotations

import json
import statistics

import pytest
import run_search
from fake_search import write_text
from search.objectives.kind import Retraining
from search.then import chain as chain_module
from search.then.budgets import retraining_suite
from search.then.chain import Chain, run_chain
from search.then.outcome import best_of
from search.then.summary import chain_lines, result_lines

import cellzoo
from cellzoo.errors import CellzooError, RunError
from leaderboards.board import build_board
from leaderboards.collect import collect
from tasks.runs.record import read_record


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    write_text(folder / "book.txt")
    (folder / "tiny.toml").write_text(run_search.PRESET)
    return folder


def chain(place, **changes):
    values = {
        "method": "random",
        "on": str(place / "book.txt"),
        "preset": str(place / "tiny.toml"),
        "searches": 2,
        "test_seeds": [0, 4],
        "device": "cpu",
        "beside": ("gru",),
        "engine": "serial",
    }
    return Chain(**{**values, **changes})


@pytest.fixture(scope="module")
def result(place):
    return run_chain(chain(place), place / "out")


def records(folder):
    return [read_record(path) for path in sorted((folder / "records").glob("*.json"))]


def test_every_found_cell_is_retrained_briefly_and_the_best_fully(place, result):
    found = [cellzoo.load(place / "out" / "searches" / f"seed{seed}" / "found.toml").hash for seed in (0, 1)]
    brief, full = records(place / "out" / "brief"), records(place / "out" / "full")
    gru = cellzoo.load("gru").hash
    assert {record.cell.hash for record in brief} == {*found, gru}
    assert {record.configuration["epochs"] for record in brief} == {1}
    dev = {record.cell.hash: record.metrics["dev_perplexity"].value for record in brief}
    best = min(found, key=lambda cell: dev[cell])
    assert {(record.cell.hash, record.seed) for record in full} == {(c, s) for c in (best, gru) for s in (0, 4)}
    assert {record.configuration["epochs"] for record in full} == {2}
    assert result.best.entry.cell.hash == best
    entry = cellzoo.entry(place / "out" / "best.toml")
    assert entry.cell.hash == best
    assert "best-of-2" in entry.name
    assert not result.failures


def test_a_record_for_each_search_says_its_cost_and_what_its_cell_is_worth(place, result):
    found = {record.seed: record for record in records(place / "out")}
    assert sorted(found) == [0, 1]
    names = {record.cell.name for record in found.values()}
    assert len(names) == 1
    assert next(iter(names)).startswith("search-random-tiny-")
    for candidate in result.candidates:
        record = found[candidate.configuration.seed]
        brief = candidate.records[0]
        assert record.metrics["dev_perplexity"].value == brief.metrics["dev_perplexity"].value
        assert record.metrics["perplexity"].value == brief.metrics["perplexity"].value
        assert record.metrics["seconds_search"].value == record.timing.seconds["search"] > 0
        assert record.data["text:book.txt"].sha256 == dict(candidate.configuration.sha256)
        assert len(record.history) == 3
        items = (place / "out" / "records" / record.items.file).read_text().splitlines()
        assert json.loads(items[0])["record"] == brief.key
    having = [record for record in found.values() if "best_perplexity" in record.metrics]
    assert [record.seed for record in having] == [result.best.configuration.seed]
    mean = statistics.fmean(record.metrics["perplexity"].value for record in result.full)
    assert having[0].metrics["best_perplexity"].value == pytest.approx(mean)


def test_the_board_shows_cost_and_mean_beside_the_best(place, result):
    board = build_board(collect([place / "out"]), "test")
    table = next(table for table in board.tables if table.task == "search-text-lm")
    row = table.rows[0]
    assert next(column.name for column in table.columns) == "dev_perplexity"
    values = [candidate.mean("dev_perplexity") for candidate in result.candidates]
    assert row.metrics["dev_perplexity"].mean == pytest.approx(statistics.fmean(values))
    assert row.metrics["dev_perplexity"].n == 2
    assert row.metrics["best_perplexity"].n == 1
    assert row.metrics["seconds_search"].n == 2
    titles = {column.name: column.title for column in table.columns}
    assert titles["best_perplexity"] == "test perplexity, best of 2 by dev, full, mean of 2 seeds"


def test_the_summary_never_names_the_best_alone(result):
    lines = list(result_lines(result))
    mean = next(n for n, line in enumerate(lines) if line.startswith("mean over 2 searches"))
    best = next(n for n, line in enumerate(lines) if line.startswith("best of 2"))
    assert mean < best


def test_the_same_again_makes_nothing_new(place, result):
    before = {
        path: path.stat().st_mtime_ns for path in (place / "out").rglob("*.json*") if "lock" not in path.name
    }
    again = run_chain(chain(place), place / "out")
    after = {
        path: path.stat().st_mtime_ns for path in (place / "out").rglob("*.json*") if "lock" not in path.name
    }
    assert after == before
    assert [candidate.entry.name for candidate in again.candidates] == [
        candidate.entry.name for candidate in result.candidates
    ]


def test_times_do_not_contradict_each_other(place, result, tmp_path):
    other = run_chain(chain(place, beside=()), tmp_path / "other")
    assert [c.entry.cell.hash for c in other.candidates] == [c.entry.cell.hash for c in result.candidates]
    collection = collect([place / "out", tmp_path / "other"])
    assert collection.repeats == 2 + 2 + 2


class Fake:
    def __init__(self, *values):
        self.records, self.values = values, values

    def mean(self, metric):
        return statistics.fmean(self.values)


@pytest.mark.parametrize(("lower", "best"), [(True, 2), (False, 1)])
def test_the_best_is_by_held_out_data_and_ties_go_to_the_first(lower, best):
    candidates = [Fake(), Fake(9.0), Fake(2.0, 4.0), Fake(3.0), Fake(9.0)]
    retraining = Retraining("text-lm", "dev_x", "x", lower, lambda data: {})
    assert best_of(candidates, retraining) is candidates[best]


def test_requests_that_cannot_be_done(place, tmp_path):
    with pytest.raises(CellzooError, match="no search was asked for"):
        run_chain(chain(place, searches=0), tmp_path / "none")
    for wrong, message in (
        ({"full": {"nonsense": 1}}, "unknown setting 'nonsense'"),
        ({"brief": {"epochs": 0}}, "epochs"),
        ({"beside": ("nonsense",)}, "unknown cell 'nonsense'"),
        ({"test_seeds": 0}, "0 seeds"),
    ):
        with pytest.raises(CellzooError, match=message):
            run_chain(chain(place, **wrong), tmp_path / "none")
        with pytest.raises(CellzooError, match=message):
            list(chain_lines(chain(place, **wrong)))
    assert not (tmp_path / "none").exists()
    (tmp_path / "bare.toml").write_text("epochs = 1\n[methods.random]\nnodes = 2\nepochs_each = 1\n")
    from search.objectives.registry import kinds

    with pytest.raises(CellzooError, match=r"there is no table \[then\.language-modeling\.brief\]"):
        retraining_suite(str(tmp_path / "bare.toml"), kinds()["language-modeling"], "ptb", "brief")


def test_the_command_does_all_of_it(place, result, capsys):
    code = run_search.main(
        [
            *("random", "--on", place / "book.txt", "--preset", place / "tiny.toml", "--out", place / "out"),
            *("--device", "cpu", "--then", "--searches", "2", "--test-seeds", "0,4", "--beside", "gru"),
        ]
    )
    shown = capsys.readouterr().out
    assert code == 0
    assert "mean over 2 searches (brief): perplexity" in shown
    assert f"cellzoo board {place / 'out'}" in shown


def test_a_search_that_stops_does_not_stop_the_others(place, tmp_path, monkeypatch):
    real = chain_module.run_search

    def stops(plan, directory, listener):
        if plan.configuration.seed in stopping:
            raise RunError(f"{directory.path}: stopped at epoch 1")
        real(plan, directory, listener)

    monkeypatch.setattr(chain_module, "run_search", stops)
    stopping = {0}
    done = run_chain(chain(place, beside=(), test_seeds=1), tmp_path / "out")
    assert [candidate.configuration.seed for candidate in done.candidates] == [1]
    assert done.searches == 2
    assert "seed0: stopped at epoch 1" in done.failures[0]
    assert {tuple(record.configuration["searches"]) for record in records(tmp_path / "out")} == {(0, 1)}
    assert "best of 2 by" in "\n".join(result_lines(done))
    stopping = {0, 1}
    with pytest.raises(RunError, match=r"every search stopped:\n.*seed0.*\n.*seed1"):
        run_chain(chain(place), tmp_path / "none")


def test_one_seed_is_refused_for_several_searches(place, capsys):
    assert run_search.main(["random", "--on", place / "book.txt", "--out", "o", "--then", "--seed", "1"]) == 2
    assert "--searches 0,7" in capsys.readouterr().err
