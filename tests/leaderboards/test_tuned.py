"""Tuned cells on a board: in one table, with what a budget of configurations is expected to reach."""

from __future__ import annotations

import itertools
import json
import statistics
import xml.etree.ElementTree as ET

import pytest

from cellzoo.errors import RecordError
from leaderboards.build import build_board
from leaderboards.collect import collect
from leaderboards.exports.plain import render_json
from leaderboards.render.budget import budget_picture
from leaderboards.render.html import render_html
from leaderboards.render.markdown import render_markdown
from leaderboards.reproduce import siblings
from leaderboards.stats.expected_best import expected_best
from tasks.runs import run_suite
from tasks.runs.signature import signature


@pytest.mark.parametrize("higher", [True, False])
def test_the_expected_best_is_the_mean_over_all_draws_with_replacement(higher):
    values = [3.0, 1.0, 4.0, 1.0, 5.5]
    best = max if higher else min
    found = expected_best(values, higher_is_better=higher)
    for count in range(1, 6):
        drawn = [best(draws) for draws in itertools.product(values, repeat=count)]
        assert found[count - 1] == pytest.approx(statistics.fmean(drawn), abs=1e-12)
    assert len(found) == len(values)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned")
    report = run_suite(
        "tuned_task:Tuned", ("lstm", "gru"), 3, out=out, executor="serial", device="cpu", tune=12
    )
    return out, report


def test_cells_with_configurations_of_their_own_stand_in_one_table(results):
    out, report = results
    board = build_board(collect([out]), "Board")
    (table,) = board.tables
    assert {row.subject.name for row in table.rows} == {"lstm", "gru", "nothing"}
    assert all(row.seeds == (0, 1, 2) for row in table.rows)
    assert board.provenance.records == 3 * 3
    assert table.settings["rate"] == "tuned, best of 12"
    assert table.settings["epochs"] == "2"
    trials = [r for r in report.records if r.purpose == "tuning"]
    worst = min(r.metrics["dev_score"].value for r in trials)
    assert [curve.subject.name for curve in table.tuning.curves] == ["gru", "lstm"]
    for curve in table.tuning.curves:
        mine = [r.metrics["dev_score"].value for r in trials if r.cell.name == curve.subject.name]
        assert curve.without == 12 - len(mine)
        whole = [*mine, *[worst] * curve.without]
        assert curve.expected[0] == pytest.approx(statistics.fmean(whole))
        assert list(curve.expected) == sorted(curve.expected)
    assert any("the same 12 random configurations (label, rate)" in text for text in [render_html(board)])
    assert "Expected best dev score" in render_markdown(board, "x.svg")
    (data,) = json.loads(render_json(board))["tables"]
    assert data["tuning"]["expected_best"]["lstm"] == list(table.tuning.curves[1].expected)
    picture = ET.fromstring(budget_picture(table, "b"))  # noqa: S314 - our own
    assert picture.find("{http://www.w3.org/2000/svg}desc").text.count(" with 12") == 2


def test_a_trial_is_not_one_more_run_of_what_was_chosen(results):
    """Neither for another run of a row, nor in the line that names a number."""
    out, report = results
    chosen = [r for r in report.records if r.purpose == "evaluation" and r.cell.name == "gru"]
    assert [r.seed for r in siblings(collect([out]), chosen[0])] == [0, 1, 2]
    assert "|tuned:12|" in signature(chosen)


def test_tuned_and_untuned_cells_are_never_ranked_together(results, tmp_path):
    out, _ = results
    other = tmp_path / "plain"
    run_suite("tuned_task:Tuned", ("lstm", "gru"), 3, out=other, executor="serial", device="cpu")
    plain, tuned = sorted(
        build_board(collect([out, other]), "Board").tables, key=lambda table: table.tuning is not None
    )
    assert (plain.tuning, plain.unlike["rate"], tuned.unlike["rate"]) == (None, "0.5", "tuned, best of 12")
    assert len(plain.rows) == 3
    assert len(tuned.rows) == 3


def test_trials_alone_are_no_results(results, tmp_path):
    out, report = results
    folder = tmp_path / "records"
    folder.mkdir()
    for record in report.records:
        if record.purpose == "tuning":
            for path in (out / "records").glob(f"*{record.key[:12]}*"):
                (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(RecordError, match="every record is a trial of `--tune`, and the tuning has not ended"):
        build_board(collect([tmp_path]), "Board")
