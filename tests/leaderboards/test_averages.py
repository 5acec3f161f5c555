"""The average over tasks."""

from __future__ import annotations

import json
import math
import statistics

import pytest
from board_records import record

from leaderboards.averages import averages, share, task_scale
from leaderboards.build import build_board
from leaderboards.collect import Collection
from leaderboards.exports.plain import render_json
from leaderboards.render.average import critical_picture
from leaderboards.render.html import render_html
from leaderboards.render.markdown import render_markdown
from tasks.registry import find_source, task_names
from tasks.runs.record import RunRecord
from tasks.task_file import Scale, parse_task_file

REVISIONS = {name: find_source(name).file.revision for name in ("wnut17", "ptb", "rte")}


def board_of(*contents):
    return build_board(Collection(tuple(map(RunRecord.model_validate, contents)), (), 0), "A board")


def runs(cell, task, values, metric="f1", revision=None, **options):
    revision = REVISIONS[task] if revision is None else revision
    return [
        record(cell, seed, task=task, revision=revision, metrics={metric: value}, **options)
        for seed, value in enumerate(values)
    ]


def two_tasks():
    return board_of(
        *runs("lstm", "wnut17", [40.0, 42.0, 41.0]),
        *runs("gru", "wnut17", [50.0, 52.0, 51.0]),
        *runs("enas", "wnut17", [45.0, 45.5, 46.0]),
        *runs("lstm", "ptb", [100.0, 110.0, 105.0], "perplexity", higher=False),
        *runs("gru", "ptb", [80.0, 82.0, 81.0], "perplexity", higher=False),
        *runs("constant", "wnut17", [0.0], baseline=True),
    )


def test_the_average_of_each_seed_by_hand():
    found = two_tasks().averages
    by_name = {row.subject.name: row for row in found.rows}

    def of_ptb(value):
        return 100 * (math.log(value) - math.log(10000)) / -math.log(10000)

    expected = [(f1 + of_ptb(p)) / 2 for f1, p in zip([40, 42, 41], [100, 110, 105], strict=True)]
    assert by_name["lstm"].summary.values == pytest.approx(expected)
    assert by_name["lstm"].summary.mean == pytest.approx(statistics.fmean(expected))
    assert by_name["lstm"].seeds == (0, 1, 2)
    shares = dict(zip((table.task for table in found.tables), by_name["gru"].shares, strict=True))
    assert shares["wnut17"] == pytest.approx(51.0)
    assert shares["ptb"] == pytest.approx(statistics.fmean(map(of_ptb, (80, 82, 81))))
    assert [row.subject.name for row in found.rows] == ["gru", "lstm"]
    assert [str(row.rank) for row in found.rows] == ["1", "2"]


def test_who_lacks_a_task_is_named_and_not_ranked():
    board = two_tasks()
    assert {s.name: tasks for s, tasks in board.averages.lacking.items()} == {
        "enas": ("ptb",),
        "constant": ("ptb",),
    }
    page, markdown = render_html(board), render_markdown(board, "board.svg")
    for text in (page, markdown):
        assert "enas (lacks ptb)" in text
        assert "Average over tasks" in text
        assert "needs at least 10 tasks" in text
    assert json.loads(render_json(board))["average"]["lacking"] == {"enas": ["ptb"], "constant": ["ptb"]}


def test_only_seeds_that_all_tasks_have_count():
    board = board_of(
        *runs("lstm", "wnut17", [40.0, 42.0, 41.0, 90.0]),
        *runs("lstm", "ptb", [100.0, 110.0], "perplexity", higher=False),
    )
    (row,) = board.averages.rows
    assert (row.seeds, row.rank) == ((0, 1), None)


def test_tasks_without_a_scale_or_with_several_settings_are_passed_over():
    three = [
        *runs("lstm", "wnut17", [40.0] * 3),
        *runs("lstm", "rte", [60.0] * 3, "accuracy"),
        *runs("lstm", "ptb", [100.0] * 3, "perplexity", higher=False),
        *runs("gru", "ptb", [90.0] * 3, "perplexity", higher=False, configuration={"epochs": 9}),
        *runs("lstm", "my-task", [10.0] * 3, revision=1),
    ]
    found = board_of(*three).averages
    assert {table.task for table in found.tables} == {"wnut17", "rte"}
    assert found.passed_over == {"ptb": "was run with several settings", "my-task": "has no scale"}
    assert board_of(*runs("lstm", "wnut17", [40.0] * 3)).averages is None


def test_a_scale_holds_for_its_revision_alone_and_a_name_is_never_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.toml").write_text(
        'name = "x.toml"\ntitle = "T"\nrevision = 1\nproblem = "tagging"\n[scale]\nfloor = 0\nreference = 1\n'
    )
    old = board_of(*runs("lstm", "wnut17", [40.0] * 3, revision=1)).tables[0]
    path = board_of(*runs("lstm", "x.toml", [40.0] * 3, revision=1)).tables[0]
    now = board_of(*runs("lstm", "wnut17", [40.0] * 3)).tables[0]
    assert task_scale(now) == Scale(floor=0.0, reference=100.0)
    assert task_scale(old) is None
    assert task_scale(path) is None


def test_shares_at_the_ends_and_beyond():
    scale = Scale(floor=50.0, reference=100.0)
    assert [share(value, scale, "accuracy") for value in (50.0, 75.0, 100.0, 40.0)] == [0.0, 0.5, 1.0, -0.2]
    uniform = Scale(floor=10000.0, reference=1.0)
    assert share(10000.0, uniform, "perplexity") == 0.0
    assert share(100.0, uniform, "perplexity") == pytest.approx(0.5)


def test_ends_that_are_equal_are_refused():
    from cellzoo.errors import CellzooError

    text = 'name = "x"\ntitle = "T"\nrevision = 1\nproblem = "tagging"\n[scale]\nfloor = 1\nreference = 1\n'
    with pytest.raises(CellzooError, match="'floor' and 'reference' are equal"):
        parse_task_file(text, "x.toml")


def test_the_diagram_needs_ten_tasks():
    cells = {"lstm": 1.0, "gru": 2.0, "enas": 3.0}
    many = [
        content
        for number in range(10)
        for cell, base in cells.items()
        for content in runs(cell, f"task-{number}", [base + number] * 3, revision=1)
    ]
    board = board_of(*many)
    scale = Scale(floor=0.0, reference=100.0)
    found = averages(board.tables, lambda table: scale)
    drawn = critical_picture(found, "critical")
    assert "Average ranks over 10 tasks" in drawn
    assert "enas 1.00, gru 2.00, lstm 3.00" in drawn
    fewer = averages(board.tables[:9], lambda table: scale)
    assert critical_picture(fewer, "critical") == ""


def test_every_glue_task_has_a_scale():
    for name in ("cola", "sst-2", "mrpc", "sts-b", "qqp", "mnli", "qnli", "rte", "wnli"):
        assert name in task_names()
        assert find_source(name).file.scale is not None
