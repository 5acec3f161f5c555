from __future__ import annotations

import argparse
import json

import pytest
from board_records import record, write_with_items

from cellzoo.errors import CellzooError, RecordError
from leaderboards.build import build_board
from leaderboards.changes import compare_boards
from leaderboards.collect import collect
from leaderboards.command import COMMAND

ITEMS = [{"split": "test", "index": i, "tp": 3, "fp": 1, "fn": i % 2, "types": {}} for i in range(4)]
F1 = 100 * 2 * 12 / (2 * 12 + 4 + 2)


def run(*arguments):
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    return COMMAND.execute(parser.parse_args([str(argument) for argument in arguments]))


def store(folder, **options):
    for seed in range(3):
        write_with_items(folder, record("lstm", seed, metrics={"f1": F1}, **options), ITEMS)
    return folder


def test_a_sound_store_passes_and_leaves_a_snapshot(tmp_path, capsys):
    results, snapshot = store(tmp_path / "results"), tmp_path / "snapshot.json"
    assert run(results, "--check", "--snapshot", snapshot) == 0
    assert "3 valid records" in capsys.readouterr().out
    assert len(json.loads(snapshot.read_text())) == 3
    assert run(results, "--check", "--snapshot", snapshot) == 0


def test_what_vanished_is_named(tmp_path, capsys):
    results, snapshot = store(tmp_path / "results"), tmp_path / "snapshot.json"
    run(results, "--check", "--snapshot", snapshot)
    before = snapshot.read_text()
    gone = next((results / "records").glob("*seed1*.json"))
    key = json.loads(gone.read_text())["key"]
    gone.unlink()
    assert run(results, "--check", "--snapshot", snapshot) == RecordError.exit_code
    assert f"record {key[:12]}… was in the snapshot and is gone" in capsys.readouterr().out
    assert snapshot.read_text() == before


def test_items_are_checked(tmp_path, capsys):
    results = store(tmp_path / "results")
    changed, cut, pipe = sorted((results / "records").glob("*.items.jsonl"))
    changed.write_text(changed.read_text().replace('"tp": 3', '"tp": 2', 1))
    cut.unlink()
    pipe.unlink()
    pipe.symlink_to("/dev/zero")
    assert run(results, "--check") == RecordError.exit_code
    printed = capsys.readouterr().out
    assert f"{changed}: sha256 is" in printed
    assert f"{cut}: cannot be read: No such file" in printed
    assert f"{pipe}: is not a regular file" in printed


def test_items_must_give_the_number_of_the_record(tmp_path, capsys):
    write_with_items(tmp_path, record("lstm", 0, metrics={"f1": F1 + 1}), ITEMS)
    assert run(tmp_path, "--check") == RecordError.exit_code
    assert f"its items give f1 {F1 / 100:.6g}; the record says {F1 + 1:.6g}" in capsys.readouterr().out


def test_revisions_and_contents_of_data_are_noted(tmp_path, capsys):
    store(tmp_path / "a")
    store(tmp_path / "b", revision=2)
    store(tmp_path / "c", data={"train": "e" * 64, "test": "f" * 64}, revision=2)
    assert run(tmp_path, "--check") == 0
    printed = capsys.readouterr().out
    assert (
        "task 'small-ner' has records of revisions 1, 2, in separate tables (3 records superseded)" in printed
    )
    assert "task 'small-ner' was run on 2 different versions of its data" in printed
    tables = build_board(collect([tmp_path]), "x").tables
    assert sorted((table.revision, table.superseded_by) for table in tables) == [(1, 2), (2, None), (2, None)]


def test_a_snapshot_that_is_none_is_one_clear_message(tmp_path):
    results = store(tmp_path / "results")
    (tmp_path / "snapshot.json").write_text("[1]")
    with pytest.raises(RecordError, match=r"snapshot\.json: is not a snapshot"):
        run(results, "--check", "--snapshot", tmp_path / "snapshot.json")


def values(folder, cell, numbers, **options):
    for seed, value in enumerate(numbers):
        write_with_items(folder, record(cell, seed, metrics={"f1": value}, **options), ITEMS)


def test_changes_beyond_noise_and_within_it(tmp_path, capsys):
    before, after = tmp_path / "before", tmp_path / "after"
    values(before, "lstm", [50.0, 50.1, 50.2])
    values(before, "gru", [60.0, 64.0, 62.0])
    values(before, "enas", [1.0, 1.0, 1.0])
    values(before, "nao", [1.0])
    settings = {"configuration": {"epochs": 9}}
    values(after, "lstm", [55.0, 55.1, 55.2], **settings)
    values(after, "gru", [61.0, 64.0, 61.0], **settings)
    values(after, "enas", [1.0, 1.0, 1.0])
    values(after, "darts-v2", [70.0, 71.0], **settings)
    assert run("--compare", before, after) == 0
    printed = capsys.readouterr().out
    text = compare_boards(build_board(collect([before]), "x"), build_board(collect([before]), "x"))
    assert "4 entries are unchanged" in text
    assert text.count("None.") == 5
    better, rest = printed.split("## Worse")
    assert "darts-v2" in rest.split("## New")[1].split("## Gone")[0]
    assert "nao" in rest.split("## Gone")[1]
    assert "lstm" in better or "lstm" in rest.split("## New")[1], "new settings are a table of their own"


def test_better_and_worse_under_the_same_settings(tmp_path):
    boards = []
    for name, numbers in (("one", [50.0, 50.1, 50.2]), ("two", [55.0, 55.1, 55.2])):
        values(tmp_path / name, "lstm", numbers, package=name)
        boards.append(build_board(collect([tmp_path / name]), "x"))
    forth, same, back = (
        compare_boards(boards[a], boards[b]) if a != b else compare_boards(boards[a], boards[a])
        for a, b in ((0, 1), (0, 0), (1, 0))
    )
    assert "| lstm | 50.10 ± 0.10 (3 seeds) | 55.10 ± 0.10 (3 seeds) | better |" in forth.split("## Worse")[0]
    assert "| worse |" in back.split("## Worse")[1]
    assert "1 entry is unchanged" in same


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ([50.0] * 3, [50.0, 50.0, 50.00000000000001], "within noise"),
        ([50.0] * 3, [51.0] * 3, "better"),
    ],
)
def test_equal_seeds_and_rounding_are_compared(tmp_path, before, after, verdict):
    boards = []
    for name, numbers in (("one", before), ("two", after)):
        values(tmp_path / name, "lstm", numbers)
        boards.append(build_board(collect([tmp_path / name]), "x"))
    assert f"| {verdict} |" in compare_boards(*boards)


def test_other_settings_of_a_number_are_named(tmp_path):
    boards = []
    for name, epochs in (("one", 4), ("two", 9)):
        values(tmp_path / name, "lstm", [50.0 + epochs] * 3, configuration={"epochs": epochs, "clip": 1})
        boards.append(build_board(collect([tmp_path / name]), "x"))
    assert "| better; different settings: epochs |" in compare_boards(*boards)


def test_another_primary_metric_is_no_change_of_a_number(tmp_path):
    boards = []
    for name in ("f1", "accuracy"):
        write_with_items(tmp_path / name, record(metrics={name: 50.0}), ITEMS)
        boards.append(build_board(collect([tmp_path / name]), "x"))
    text = compare_boards(*boards)
    assert text.count("lstm on Title of small-ner") == 2, "once new, once gone"
    assert "0 entries are unchanged" in text


def test_wrong_use_is_one_clear_message(tmp_path):
    with pytest.raises(CellzooError, match="two results folders"):
        run("--compare", tmp_path)
    with pytest.raises(CellzooError, match="--out DIR"):
        run(tmp_path)
    with pytest.raises(CellzooError, match="'xls': is not a file format"):
        run(tmp_path, "--out", tmp_path, "--also", "csv,xls")


def test_results_under_new_settings_leave_those_under_the_old_ones_unchanged(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        values(folder, "lstm", [50.0, 51.0, 52.0])
    values(after, "gru", [60.0], configuration={"epochs": 9})
    text = compare_boards(*(build_board(collect([folder]), "x") for folder in (before, after)))
    assert "1 entry is unchanged" in text
    assert "gru" in text.split("## New")[1].split("## Gone")[0]
    assert "None." in text.split("## Gone")[1]


def test_options_of_a_check_need_it(tmp_path):
    with pytest.raises(CellzooError, match="--snapshot FILE is used by --check only; add --check"):
        run(tmp_path, "--snapshot", tmp_path / "snapshot.json")
    with pytest.raises(CellzooError, match="give one of them"):
        run(tmp_path, tmp_path, "--check", "--compare")
