from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest
from board_records import cell_hash, record, write, write_with_items
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from cellzoo.errors import RecordError
from leaderboards.build import build_board
from leaderboards.collect import Collection, collect
from leaderboards.render.grid import overview_grid
from tasks.runs.record import RunRecord


def board_of(*contents):
    records = tuple(RunRecord.model_validate(content) for content in contents)
    return build_board(Collection(records, (), 0), "A board")


def test_a_row_sums_up_its_seeds():
    values = [88.0, 89.5, 87.0]
    board = board_of(
        *(
            record(
                seed=seed,
                metrics={"f1": value},
                seconds={"train": 10.0 * (seed + 1)},
                speed=100.0 + seed,
                latency=[1.0, 1.5, None][seed],
            )
            for seed, value in enumerate(values)
        )
    )
    (table,) = board.tables
    (row,) = table.rows
    assert row.seeds == (0, 1, 2)
    assert row.metrics["f1"].mean == pytest.approx(statistics.mean(values))
    assert row.metrics["f1"].std == pytest.approx(statistics.stdev(values))
    assert (row.cost.parameters_cell, row.cost.parameters_without_embeddings) == (1000, 2000)
    assert (row.cost.parameters_total, row.cost.flops_per_token) == (5000, 12345)
    assert (row.cost.train_seconds, row.cost.tokens_per_second) == (20.0, 101.0)
    assert row.cost.milliseconds == 1.25


def runs(name, values, **options):
    return [record(name, seed, metrics={"m": value}, **options) for seed, value in enumerate(values)]


@pytest.mark.parametrize(("higher", "expected"), [(True, ["b", "c", "a"]), (False, ["a", "c", "b"])])
def test_rows_stand_by_rank_in_the_direction_of_the_metric(higher, expected):
    means = {"a": 1.0, "b": 3.0, "c": 2.0}
    values = {name: [mean, mean + 0.01, mean - 0.01] for name, mean in means.items()}
    board = board_of(*(r for name, of_cell in values.items() for r in runs(name, of_cell, higher=higher)))
    assert [row.subject.name for row in board.tables[0].rows] == expected
    assert [str(row.rank) for row in board.tables[0].rows] == ["1", "2", "3"]
    assert [subject.name for subject in board.subjects] == expected


def test_ties_stand_by_name_and_the_unranked_below():
    tied = runs("zeta", [5.0, 5.2, 5.4]) + runs("alpha", [5.1, 5.3, 5.2]) + runs("mid", [5.0, 5.3, 5.2])
    board = board_of(*tied, *runs("twice", [9.0, 9.1]), *runs("once", [99.0]))
    rows = board.tables[0].rows
    assert [row.subject.name for row in rows] == ["alpha", "mid", "zeta", "once", "twice"]
    assert [row.rank and str(row.rank) for row in rows] == ["1–3", "1–3", "1–3", None, None]
    assert board.tables[0].standing.ranked == 3
    assert not board.tables[0].leaders


def test_all_are_compared_with_lstm():
    values = {"lstm": [5.0, 5.2, 5.4], "gru": [7.1, 7.3, 7.2], "enas": [5.0, 5.3, 5.1]}
    board = board_of(*(r for name, of_cell in values.items() for r in runs(name, of_cell)))
    (table,) = board.tables
    theirs = stats.dunnett(values["gru"], values["enas"], control=values["lstm"], rng=np.random.default_rng(0))
    by_name = {row.subject.name: row for row in table.rows}
    assert by_name["lstm"].against is None
    assert by_name["lstm"].is_control
    assert by_name["gru"].against.p == pytest.approx(theirs.pvalue[0], abs=2e-3)
    assert by_name["enas"].against.p == pytest.approx(theirs.pvalue[1], abs=2e-3)
    assert table.standing.detectable > 0
    assert board_of(*runs("gru", [1.0, 2.0, 3.0])).tables[0].standing.control is None


def test_items_give_intervals_for_new_test_sets(tmp_path):
    def item(index, tp, fp, fn):
        return {"split": "test", "index": index, "tp": tp, "fp": fp, "fn": fn, "types": {}}

    generator = np.random.default_rng(0)
    for cell in ("lstm", "gru"):
        for seed in range(3):
            found = generator.integers(0, 4, (60, 3)).tolist()
            items = [item(index, *counts) for index, counts in enumerate(found)]
            tp, fp, fn = np.sum(found, 0).tolist()
            f1 = 100 * 2 * tp / (2 * tp + fp + fn)
            write_with_items(tmp_path, record(cell, seed, metrics={"f1": f1}), items)
    (table,) = build_board(collect([tmp_path]), "x").tables
    for row in table.rows:
        summary = row.metrics["f1"]
        assert summary.new_items is not None
        assert np.mean(row.by_item) == pytest.approx(summary.mean)
    assert [row.against_new is None for row in table.rows] == [row.is_control for row in table.rows]
    # Items that do not give the record's number give nothing.
    write_with_items(tmp_path, record("enas", 0, metrics={"f1": 3.0}), items)
    (table,) = build_board(collect([tmp_path]), "x").tables
    assert {row.subject.name: bool(row.by_item) for row in table.rows} == {
        "lstm": True,
        "gru": True,
        "enas": False,
    }


def test_published_results_stand_beside_and_are_not_compared():
    board = board_of(*runs("lstm", [60.0, 61.0, 62.0], task="wnut17"))
    assert not board.tables[0].reported, "another metric"
    values = [record("lstm", seed, task="wnut17", metrics={"f1": 40.0 + seed}) for seed in range(3)]
    (table,) = board_of(*values).tables
    assert [result.value for result in table.reported] == [52.18, 50.34, 50.20, 48.85, 45.55]
    assert table.standing.ranked == 1


OTHER = {"train": "a" * 64, "test": "f" * 64}


@pytest.mark.parametrize(
    ("change", "unlike"),
    [
        ({"configuration": {"epochs": 9}}, {"epochs", "optimizer.name", "optimizer.rate"}),
        (
            {"configuration": {"epochs": 4, "optimizer": {"name": "sgd", "rate": 0.2}}},
            {"optimizer.rate"},
        ),
        (
            {"configuration": {"epochs": 4.0, "optimizer": {"name": "sgd", "rate": 0.1}}},
            {"epochs"},
        ),
        ({"revision": 2}, {"task revision"}),
        ({"data": OTHER}, {"corpus test, sha256"}),
    ],
)
def test_different_settings_are_never_averaged_together(change, unlike):
    board = board_of(
        record(seed=0, metrics={"f1": 10.0}),
        record(seed=1, metrics={"f1": 20.0}),
        record(seed=0, metrics={"f1": 90.0}, **change),
    )
    means = sorted(table.rows[0].metrics["f1"].mean for table in board.tables)
    assert means == [15.0, 90.0]
    assert [table.variant for table in board.tables] == ["A", "B"]
    for table in board.tables:
        assert set(table.unlike) == unlike
    first, second = (table.unlike for table in board.tables)
    assert all(first[name] != second[name] for name in unlike)


def test_tasks_with_one_kind_of_settings_have_no_letter():
    board = board_of(record(task="a"), record(task="b", configuration={"x": 1}))
    assert [(table.task, table.variant, dict(table.unlike)) for table in board.tables] == [
        ("a", "", {}),
        ("b", "", {}),
    ]


def test_two_tasks_of_one_title_are_told_apart():
    board = board_of(
        record(task="a", title="Same"), record(task="b", title="Same"), record(task="c", title="C")
    )
    assert [table.title for table in board.tables] == ["C", "Same [a]", "Same [b]"]


def test_missing_results_are_none_and_last_and_harm_nobody():
    full = [record("lstm", s, task=t, metrics={"m": 1.0 + s}) for s in (0, 1) for t in ("a", "b")]
    half = [record("gru", s, task="b", metrics={"m": 5.0 + s}) for s in (0, 1)]
    board = board_of(*full, *half)
    table_a, table_b = board.tables
    assert [subject.name for subject in board.subjects] == ["lstm", "gru"]
    assert [subject.name for subject in table_a.absent] == ["gru"]
    assert table_a.row(board.subjects[1]) is None
    assert [row.subject.name for row in table_b.rows] == ["gru", "lstm"]
    without_gru = board_of(*full)
    assert table_a.rows == without_gru.tables[0].rows


def test_what_searches_for_cells_stands_apart_from_cells():
    method = record("search-darts", task="search-ptb", baseline=True, title="A search")
    board = board_of(
        method, record("lstm"), record("gru"), record("lstm", task="b"), record("constant", baseline=True)
    )
    assert [table.task for table in board.tables] == ["b", "small-ner", "search-ptb"]
    assert [table.task for table in board.overview] == ["b", "small-ner"]
    names = [row.cells[0].text for row in overview_grid(board).rows]
    assert names == ["lstm", "gru", "constant"]
    absent = [[subject.name for subject in table.absent] for table in board.tables]
    assert absent == [["gru"], [], []]
    assert [table.task for table in board_of(method).overview] == ["search-ptb"]


def test_a_metric_that_some_seeds_lack_says_on_how_many_it_stands():
    board = board_of(record(seed=0, metrics={"f1": 1.0, "recall": 7.0}), record(seed=3, metrics={"f1": 2.0}))
    (row,) = board.tables[0].rows
    assert row.seeds == (0, 3)
    assert row.metrics["recall"].n == 1
    assert row.metric_seeds == {"f1": (0, 3), "recall": (0,)}


def test_the_primary_metric_comes_first():
    contents = [record(seed=seed, metrics={"precision": 1.0, "f1": 2.0}) for seed in (0, 1)]
    for content in contents:
        content["primary"] = "f1"
    assert [column.name for column in board_of(*contents).tables[0].columns] == ["f1", "precision"]


def test_disagreement_on_the_primary_metric_or_its_direction_is_refused():
    first, second = record(seed=0, metrics={"a": 1.0, "b": 1.0}), record(seed=1, metrics={"a": 1.0, "b": 1.0})
    second["primary"] = "b"
    with pytest.raises(RecordError, match="primary metrics"):
        board_of(first, second)
    with pytest.raises(RecordError, match="says the opposite"):
        board_of(record(seed=0, higher=True), record(seed=1, higher=False))


def test_one_name_with_two_graphs_gives_two_rows_with_short_hashes():
    board = board_of(record("found", 0), record("found", 0, hash_of="another"), record("gru", 0))
    tags = {(subject.name, subject.tag) for subject in board.subjects}
    assert tags == {("found", cell_hash("found")[:8]), ("found", cell_hash("another")[:8]), ("gru", "")}
    assert len(board.tables[0].rows) == 3


def test_one_graph_under_two_names_is_one_row():
    board = board_of(record("darts-v2", 0), record("found", 1, hash_of="darts-v2"))
    (row,) = board.tables[0].rows
    assert row.subject.name == "darts-v2 = found"
    assert row.seeds == (0, 1)


def test_a_baseline_has_no_cell_to_count_and_comes_after_the_cells():
    board = board_of(
        record("skip-gram", baseline=True, metrics={"m": 99.0}), record("lstm", metrics={"m": 1.0})
    )
    bottom, top = board.tables[0].rows
    assert (top.subject.name, top.subject.is_baseline) == ("skip-gram", True)
    assert (top.cost.parameters_cell, top.cost.flops_per_token) == (None, None)
    assert top.cost.parameters_total == 5000
    assert not bottom.subject.is_baseline
    assert [subject.name for subject in board.subjects] == ["lstm", "skip-gram"]


def test_a_cell_named_like_a_baseline_stays_apart():
    board = board_of(record("skip-gram", baseline=True), record("skip-gram"))
    assert len(board.tables[0].rows) == 2


@pytest.mark.parametrize("seconds", [{}, {"evaluate": 3.0}, {"train": 0.0}])
def test_time_that_was_not_measured_is_missing(seconds):
    board = board_of(record(seconds=seconds, speed=0.0))
    cost = board.tables[0].rows[0].cost
    assert (cost.train_seconds, cost.tokens_per_second) == (None, None)


def test_leaders_are_those_that_may_be_the_best():
    best, near, far = runs("best", [9.0, 9.1, 9.2]), runs("near", [8.9, 9.2, 9.0]), runs("far", [1.0, 1.1, 1.2])
    names = {subject.name for subject in board_of(*best, *near, *far).tables[0].leaders}
    assert names == {"best", "near"}
    assert not board_of(*best, *near).tables[0].leaders, "where all may be the best, that says nothing"
    once = runs("once", [99.0])
    assert {s.name for s in board_of(*best, *near, *far, *once).tables[0].leaders} == {"best", "near"}


def test_provenance_names_every_version_and_how_often(tmp_path):
    write(tmp_path, record(seed=0), record(seed=1), record(seed=2, package="2.12.0"))
    provenance = build_board(collect([tmp_path]), "x").provenance
    facts = {fact.title: fact.values for fact in provenance.facts}
    assert provenance.records == 3
    assert facts["Packages"] == ("torch 2.13.0 (2 records)", "torch 2.12.0 (1 records)")
    assert facts["Code"] == ("cellzoo 0.1.0, revision 0123456789ab",)
    assert facts["Data corpus"] == (
        f"test: sha256 {'b' * 64} (from generated)",
        f"train: sha256 {'a' * 64} (from generated)",
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_a_board_does_not_depend_on_the_order_of_its_records(random):
    contents = [
        record(cell, seed, task=task, metrics={"m": len(cell) + seed * 0.5, "n": 1.0}, baseline=cell == "skip")
        for cell, seed, task in itertools.product(["lstm", "gru", "skip"], [0, 1], ["a", "b"])
    ]
    shuffled = list(contents)
    random.shuffle(shuffled)
    assert board_of(*shuffled) == board_of(*contents)
