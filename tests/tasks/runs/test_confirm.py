"""The best of several cells, run again on seeds that had no part in the choice."""

from __future__ import annotations

import statistics

import pytest
from fake_task import Fake

from cellzoo.errors import RecordError, RunError
from leaderboards.build import build_board
from leaderboards.collect import collect
from tasks.metric import Metric
from tasks.runs import run_suite
from tasks.runs.record_file import read_record
from tasks.suites.suite import parse_suite

CELLS = ("lstm", "gru", "enas")
PERPLEXITIES = {"lstm": (1.0, 100.0), "gru": (30.0, 31.0)}
BOTH = parse_suite(
    '[[task]]\nname = "fake_task:Fake"\n[[task]]\nname = "fake_task:FakeAfter"\n', name="both", source="both"
)


class Perplexed(Fake):
    """Lower is better, and a mean is geometric: lstm has the better one, gru the better plain mean."""

    name = "perplexed"
    leaves = ""

    def metrics(self, config):
        return (Metric("perplexity", "perplexity", False),)

    def run(self, config, subject, seed, context):
        outcome = super().run(config, subject, seed, context)
        return type(outcome)(
            **{**vars(outcome), "metrics": {"perplexity": PERPLEXITIES[subject.name][seed % 2]}}
        )


def go(out, suite="fake_task:Fake", cells=CELLS, **options):
    return run_suite(suite, cells, **{"seeds": 3, "out": out, "executor": "serial", "device": "cpu", **options})


def fresh(report):
    return [(r.task.name, r.cell.name, r.seed) for r in report.records if r.purpose == "confirmation"]


def best_of(records):
    scores = {}
    for record in records:
        scores.setdefault(record.cell.name, []).append(record.score)
    return max(scores, key=lambda name: statistics.fmean(scores[name]))


def test_the_best_mean_gets_seeds_that_nobody_had(tmp_path):
    plain = go(tmp_path)
    report = go(tmp_path, confirm=2)
    best = best_of(plain.records)
    assert fresh(report) == [("fake", best, 3), ("fake", best, 4)]
    assert report.made == 2
    assert any(f"{best} has the best mean" in note for note in report.notes)
    again = go(tmp_path, confirm=2)
    assert (again.made, again.records) == (0, report.records)


def test_a_probe_comes_after_fresh_runs_of_its_own(tmp_path):
    report = go(tmp_path, BOTH, confirm=1)
    of_probe = [record for record in report.records if record.task.name == "fake-after" and record.seed == 3]
    keys = {record.key: record for record in report.records}
    (probe,) = of_probe
    assert probe.purpose == "confirmation"
    assert keys[probe.after].purpose == "confirmation"
    assert keys[probe.after].seed == 3


def test_a_perplexity_is_chosen_by_its_geometric_mean(tmp_path):
    report = go(tmp_path, f"{__name__}:Perplexed", cells=("lstm", "gru"), seeds=2, confirm=1)
    assert fresh(report) == [("perplexed", "lstm", 2)]


@pytest.mark.parametrize(
    ("options", "why"),
    [({"cells": ("lstm",)}, "only one cell"), ({"settings": {"fault": "nan"}}, "undefined")],
    ids=["one cell", "undefined"],
)
def test_where_nothing_was_chosen_nothing_is_confirmed(tmp_path, options, why):
    report = go(tmp_path, confirm=2, **options)
    assert fresh(report) == []
    assert any("nothing is confirmed" in note and why in note for note in report.notes)


def test_failed_runs_choose_nothing(tmp_path):
    report = go(tmp_path, confirm=2, settings={"fault": "input", "victim": "gru-1"})
    assert fresh(report) == []
    assert any("nothing is confirmed" in note for note in report.notes)
    with pytest.raises(RunError):
        report.raise_for_failures()


def test_a_board_shows_it_beside_the_ranking_and_not_in_it(tmp_path):
    before = go(tmp_path)
    best = best_of(before.records)
    (table,) = build_board(collect([tmp_path]), "Board").tables
    report = go(tmp_path, confirm=3)
    (after,) = build_board(collect([tmp_path]), "Board").tables
    assert after.rows == table.rows
    (confirmed,) = after.confirmed
    values = [record.score for record in report.records if record.purpose == "confirmation"]
    assert (confirmed.subject.name, confirmed.seeds) == (best, (3, 4, 5))
    assert confirmed.summary.mean == pytest.approx(statistics.fmean(values), abs=1e-12)


def test_a_confirmation_without_what_it_confirms_is_named(tmp_path):
    report = go(tmp_path, confirm=1)
    for record in report.records:
        if record.purpose == "evaluation":
            (path,) = (tmp_path / "records").glob(f"*{record.key[:12]}.json")
            assert read_record(path) == record
            path.unlink()
    with pytest.raises(RecordError, match=r"a confirmation \(`--confirm`\) of runs that are not here"):
        build_board(collect([tmp_path]), "Board")
