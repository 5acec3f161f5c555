"""Tasks against each other on a board."""

from __future__ import annotations

import pytest
from board_records import record

from leaderboards.build import build_board
from leaderboards.collect import Collection
from leaderboards.relations import relations
from leaderboards.render.html import render_html
from leaderboards.render.markdown import render_markdown
from tasks.runs.record import RunRecord

F1 = {"lstm": 40.0, "gru": 42.0, "enas": 41.0, "nao": 45.0, "janet": 39.0}
PERPLEXITY = {"lstm": 110.0, "gru": 100.0, "enas": 105.0, "nao": 90.0, "janet": 120.0}


def board_of(tables, baseline=False):
    contents = [
        record(cell, seed, task=task, metrics={metric: value + seed / 100}, higher=higher, revision=revision)
        for task, metric, higher, revision, values in tables
        for cell, value in values.items()
        for seed in range(3)
    ]
    if baseline:
        contents += [
            record("constant", 0, task=task, metrics={metric: 1.0}, higher=higher, baseline=True)
            for task, metric, higher, *_ in tables
        ]
    return build_board(Collection(tuple(map(RunRecord.model_validate, contents)), (), 0), "A board")


TWO = [("wnut17", "f1", True, 1, F1), ("ptb", "perplexity", False, 1, PERPLEXITY)]


def test_low_perplexity_and_high_f1_are_the_same_order():
    board = board_of(TWO, baseline=True)
    (relation,) = relations(board.tables)
    assert relation.correlation.tau == pytest.approx(1.0)
    assert sorted(subject.name for subject in relation.subjects) == sorted(F1)
    assert {relation.first.task, relation.second.task} == {"wnut17", "ptb"}


def test_one_task_and_superseded_revisions_are_not_compared():
    board = board_of([*TWO, ("wnut17", "f1", True, 2, F1)])
    assert [(r.first.revision, r.second.revision) for r in relations(board.tables)] in ([(1, 2)], [(2, 1)])


def test_four_cells_are_too_few():
    few = dict(list(F1.items())[:4])
    assert relations(board_of([("wnut17", "f1", True, 1, few), TWO[1]]).tables) == []


def test_page_and_markdown_say_it():
    board = board_of(TWO)
    page, markdown = render_html(board), render_markdown(board, "board.svg")
    assert "Kendall&#39;s tau 1.00" in page
    assert 'id="relation-1-title"' in page
    assert "Kendall's tau 1.00" in markdown
    without = board_of([TWO[0]])
    assert "Task against task" not in render_html(without) + render_markdown(without, "board.svg")
