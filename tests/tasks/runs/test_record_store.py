"""The record store: whole records or none, and nothing of others touched."""

from __future__ import annotations

import errno
import hashlib
import json
import os

import pytest
from board_records import record
from hypothesis import given
from hypothesis import strategies as st

from cellzoo.errors import CellzooError, OutputError, RecordError
from cellzoo.system.atomic import write_atomically
from tasks.runs.record import RunRecord
from tasks.runs.store import RecordStore, record_stem

ITEMS = [{"split": "test", "tp": 1}, {"split": "test", "tp": 0, "text": "ä\n"}]


@pytest.fixture
def store(tmp_path):
    store = RecordStore(tmp_path / "out")
    store.prepare()
    return store


def put(store, **options):
    """Write a whole record; gives (key, stem)."""
    content = record(**options)
    stem = record_stem(content["task"]["name"], content["cell"]["name"], content["seed"], content["key"])
    items = store.write_items(stem, ITEMS)
    store.write_record(stem, RunRecord.model_validate({**content, "items": items.model_dump()}))
    return content["key"], stem


def snapshot(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_written_record_is_found_whole(store):
    key, stem = put(store)
    found = store.survey({key: stem}).records[key]
    lines = (store.folder / found.items.file).read_bytes()
    assert [json.loads(line) for line in lines.decode().split("\n")[:-1]] == ITEMS
    assert found.items.count == len(ITEMS)
    assert found.items.sha256 == hashlib.sha256(lines).hexdigest()
    assert sorted(path.name for path in store.folder.iterdir()) == [f"{stem}.items.jsonl", f"{stem}.json"]


def test_a_folder_that_is_not_there_has_no_records(tmp_path):
    survey = RecordStore(tmp_path / "nowhere").survey({"a" * 64: "t--c--seed0--aaaaaaaaaaaa"})
    assert survey.records == {}
    assert not (tmp_path / "nowhere").exists()


def test_a_record_under_another_name_of_the_same_graph_counts(store):
    key, stem = put(store, cell="lstm")
    other = record_stem("small-ner", "my-lstm", 0, key)
    assert store.survey({key: other}).records[key].cell.name == "lstm"
    assert stem != other


@pytest.mark.parametrize("length", [0, 1, 200, -2])
def test_a_truncated_planned_record_stops_and_changes_nothing(store, length):
    key, stem = put(store)
    put(store, seed=1)
    path = store.folder / f"{stem}.json"
    path.write_bytes(path.read_bytes()[:length])
    before = snapshot(store.folder)
    with pytest.raises(RecordError, match=r"is not complete JSON") as caught:
        store.survey({key: stem})
    assert str(path) in str(caught.value)
    assert snapshot(store.folder) == before


def test_another_record_under_a_planned_name_stops(store):
    key, stem = put(store)
    put(store, seed=1)
    other = next(path for path in store.folder.glob("*seed1*.json"))
    (store.folder / f"{stem}.json").write_bytes(other.read_bytes())
    with pytest.raises(RecordError, match="but the run that this file name belongs to has"):
        store.survey({key: stem})


@pytest.mark.parametrize("damage", ["missing", "changed", "cut"])
def test_items_that_do_not_fit_the_record_stop(store, damage):
    key, stem = put(store)
    items = store.folder / f"{stem}.items.jsonl"
    if damage == "missing":
        items.unlink()
    else:
        items.write_bytes(items.read_bytes()[:-1] if damage == "cut" else b"{}\n")
    with pytest.raises(RecordError) as caught:
        store.survey({key: stem})
    assert str(items) in str(caught.value)
    assert f"{stem}.json" in str(caught.value)


def test_strangers_are_named_and_left_alone(store):
    key, stem = put(store)
    _, other_stem = put(store, seed=1)
    (store.folder / "notes.txt").write_text("mine")
    (store.folder / "foreign.json").write_text("{}")
    (store.folder / f"{other_stem}.json").write_text("{")
    (store.folder / "folder.json").mkdir()
    before = {path.name for path in store.folder.iterdir()}
    survey = store.survey({key: stem})
    assert set(survey.records) == {key}
    assert len(survey.strangers) == 4
    for name in ("notes.txt", "foreign.json", f"{other_stem}.json", "folder.json"):
        assert any(name in message for message in survey.strangers)
    assert {path.name for path in store.folder.iterdir()} == before


def test_items_of_a_run_that_was_killed_before_its_record_are_no_strangers(store):
    key, stem = put(store)
    (store.folder / f"{stem}.json").unlink()
    survey = store.survey({key: stem})
    assert (survey.records, survey.strangers) == ({}, ())


def test_half_written_files_are_cleared_away_and_no_others(store):
    put(store)
    kept = set(snapshot(store.folder)) | {"other.tmp", ".cellzoo-notes"}
    for name in (".cellzoo-" + "0f" * 16 + ".tmp", "other.tmp", ".cellzoo-notes"):
        (store.folder / name).write_text("x")
    store.prepare()
    assert {path.name for path in store.folder.iterdir()} == kept


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_whole(tmp_path, monkeypatch, stage):
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def fail(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync" if stage == "fsync" else "pathlib.Path.replace", fail)
    with pytest.raises(OutputError, match=r"a\.json: cannot be written: No space left on device"):
        write_atomically(path, b"new")
    assert snapshot(tmp_path) == {"a.json": b"old"}


def test_an_output_folder_below_a_file_is_one_message(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="records: cannot be written: Not a directory"):
        RecordStore(tmp_path / "file").prepare()
    with pytest.raises(OutputError, match="cannot be read: Not a directory"):
        RecordStore(tmp_path / "file").survey({})


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits do not bind the superuser")
def test_an_output_folder_without_permission_is_one_message(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="records: cannot be written: Permission denied"):
        RecordStore(tmp_path).prepare()


@pytest.mark.parametrize("item", [{"a": float("nan")}, {"a": float("inf")}, {"a": {1, 2}}])
def test_an_item_that_is_no_json_is_named_by_its_number(store, item):
    with pytest.raises(CellzooError, match="item 3 cannot be kept"):
        store.write_items("t--c--seed0--aaaaaaaaaaaa", [*ITEMS, item])
    assert snapshot(store.folder) == {}


@given(st.text(max_size=100), st.text(max_size=100), st.integers())
def test_a_name_becomes_a_plain_file_name_or_an_error(task, cell, seed):
    try:
        stem = record_stem(task, cell, seed, "0" * 64)
    except CellzooError:
        return
    assert stem == f"{task}--{cell}--seed{seed}--000000000000"
    assert os.path.basename(stem) == stem  # noqa: PTH119 - what the system takes for a name
    assert not stem.startswith(".")
    assert len(stem.encode()) < 240
    assert set(stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789._+-")


@pytest.mark.parametrize("name", ["..", "a/b", "../up", "A", "", "a\n", "a b", "é", "x" * 81, "-a"])
def test_names_that_are_no_file_names_are_refused(name):
    for task, cell in ((name, "lstm"), ("task", name)):
        with pytest.raises(CellzooError, match="expected 1 to 80 of a-z"):
            record_stem(task, cell, 0, "0" * 64)
