from __future__ import annotations

import copy
import errno
import json
import os
from pathlib import Path

import pytest
from board_records import record, signed, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellzoo.errors import RecordError
from leaderboards.build import build_board
from leaderboards.collect import collect
from leaderboards.render.html import render_html
from leaderboards.render.markdown import render_markdown
from leaderboards.render.picture import all_pictures


def put(folder, name, content):
    path = folder / "records" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(signed(content))
    path.write_text(text, encoding="utf-8")
    return path


def refusal(*sources):
    with pytest.raises(RecordError) as caught:
        collect(sources)
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_reads_files_records_folders_and_folders_of_results(tmp_path):
    first = write(tmp_path / "all" / "one", record("lstm", 0), record("lstm", 1))
    write(tmp_path / "all" / "two", record("gru", 0))
    single = next((first / "records").glob("*seed1*.json"))

    def names(*sources):
        return [(r.cell.name, r.seed) for r in collect(sources).records]

    assert names(first) == [("lstm", 0), ("lstm", 1)]
    assert names(first / "records") == [("lstm", 0), ("lstm", 1)]
    assert names(single) == [("lstm", 1)]
    assert names(tmp_path / "all") == [("gru", 0), ("lstm", 0), ("lstm", 1)]
    assert names(tmp_path / "all", single, first) == [("gru", 0), ("lstm", 0), ("lstm", 1)]


def test_plain_folder_of_record_files(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(signed(record())))
    (tmp_path / ".cellzoo-0.json").write_text("half")
    assert len(collect([tmp_path]).records) == 1


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_nothing_there_is_one_clear_message(tmp_path, make):
    source = tmp_path / "results"
    make(source)
    assert str(source) in refusal(source)
    assert "cellzoo run" in refusal(source)


def test_every_bad_file_is_listed_and_good_ones_do_not_help(tmp_path):
    sound = json.dumps(record(), indent=1)
    write(tmp_path, record("gru"))
    put(tmp_path, "cut.json", sound[: len(sound) // 2])
    put(tmp_path, "foreign.json", '{"name": "package.json"}')
    put(tmp_path, "list.json", "[1, 2]")
    put(tmp_path, "empty.json", "")
    put(tmp_path, "later.json", {**record("enas"), "schema_version": 2})
    put(tmp_path, "digits.json", '{"schema_version": ' + "9" * 5000 + "}")
    put(tmp_path, "deep.json", "[" * 100_000)
    (tmp_path / "records" / "bytes.json").write_bytes(b"\xff\xfe\x00")
    message = refusal(tmp_path)
    for name in ("cut", "foreign", "list", "empty", "later", "digits", "deep", "bytes"):
        assert f"{name}.json" in message
    assert message.startswith("8 files are not valid records")
    assert f"cut.json: line {sound[: len(sound) // 2].count(chr(10)) + 1}: " in message
    assert "--skip-bad" in message


def test_skipping_bad_files_says_which(tmp_path):
    write(tmp_path, record("gru"))
    bad = put(tmp_path, "cut.json", "{")
    collection = collect([tmp_path], skip_bad=True)
    assert [r.cell.name for r in collection.records] == ["gru"]
    assert [fault.path for fault in collection.faults] == [bad]


def test_skipping_all_there_is_leaves_no_board(tmp_path):
    put(tmp_path, "cut.json", "{")
    with pytest.raises(RecordError, match="no valid record is left"):
        collect([tmp_path], skip_bad=True)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("seed",), 7),
        (("task", "revision"), 2),
        (("task", "name"), "news-lm"),
        (("cell", "hash"), "0" * 64),
        (("configuration", "epochs"), 400),
        (("configuration", "epochs"), 4.0),
        (("data", "corpus", "sha256", "test"), "d" * 64),
        (("key",), "e" * 64),
    ],
)
def test_an_edited_record_is_found_by_its_key(tmp_path, where, value):
    content = record()
    place = content
    for name in where[:-1]:
        place = place[name]
    assert place[where[-1]] != value or type(place[where[-1]]) is not type(value)
    place[where[-1]] = value
    put(tmp_path, "edited.json", content)
    message = refusal(tmp_path)
    assert "edited.json: key: " in message
    assert "edited" in message.split("key: ")[1]


def test_a_records_folder_that_cannot_be_read_is_not_passed_over(tmp_path, monkeypatch):
    write(tmp_path / "one", record("lstm", 0))
    write(tmp_path / "two", record("gru", 0))
    closed, scan = tmp_path / "two" / "records", os.scandir

    def scandir(path):
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert refusal(tmp_path) == f"{closed}: cannot be read: Permission denied"


def test_linked_folders_are_followed_and_loops_of_links_are_safe(tmp_path):
    write(tmp_path / "disk" / "gru", record("gru", 0))
    write(tmp_path / "all" / "lstm", record("lstm", 0))
    (tmp_path / "all" / "gru").symlink_to(tmp_path / "disk" / "gru")
    (tmp_path / "all" / "again").symlink_to("gru")
    (tmp_path / "all" / "lstm" / "round").symlink_to(tmp_path / "all")
    collection = collect([tmp_path / "all"])
    assert [r.cell.name for r in collection.records] == ["gru", "lstm"]
    assert collection.repeats == 0
    only_links = tmp_path / "links"
    only_links.mkdir()
    (only_links / "a").symlink_to(tmp_path / "disk" / "gru")
    assert [r.cell.name for r in collect([only_links]).records] == ["gru"]
    linked_records = tmp_path / "linked"
    linked_records.mkdir()
    (linked_records / "records").symlink_to(tmp_path / "disk" / "gru" / "records")
    assert [r.cell.name for r in collect([linked_records]).records] == ["gru"]


def test_a_link_that_leads_nowhere_is_named(tmp_path):
    write(tmp_path / "all" / "lstm", record("lstm", 0))
    (tmp_path / "all" / "gru").symlink_to(tmp_path / "gone")
    message = refusal(tmp_path / "all")
    assert f"{tmp_path / 'all' / 'gru'}: is a link to {tmp_path / 'gone'}, which is not there" in message
    assert len(collect([tmp_path / "all"], skip_bad=True).records) == 1


@pytest.mark.timeout(20)
def test_pipes_devices_and_giants_are_refused_unread(tmp_path, monkeypatch):
    write(tmp_path, record("lstm", 0))
    os.mkfifo(tmp_path / "records" / "pipe.json")
    (tmp_path / "records" / "endless.json").symlink_to("/dev/zero")
    with (tmp_path / "records" / "giant.json").open("wb") as stream:
        stream.truncate(1 << 34)
    message = refusal(tmp_path)
    for name in ("pipe", "endless"):
        assert f"{tmp_path / 'records' / name}.json: is not a regular file; a run record is one" in message
    assert "giant.json: has 17,179,869,184 bytes" in message
    assert [r.cell.name for r in collect([tmp_path], skip_bad=True).records] == ["lstm"]
    assert "is not a regular file or folder" in refusal(tmp_path / "records" / "pipe.json")


def test_deep_json_in_a_sound_place_is_one_clear_message(tmp_path):
    deep = []
    for _ in range(900):
        deep = [deep]
    content = record()
    text = json.dumps(content).replace('"epochs": 4', '"epochs": ' + json.dumps(deep))
    put(tmp_path, "deep.json", text)
    assert "deep.json: " in refusal(tmp_path)


def test_an_edited_baseline_is_found_by_its_name(tmp_path):
    content = record("skip-gram", baseline=True)
    content["cell"]["name"] = "better-gram"
    put(tmp_path, "edited.json", content)
    assert "is not the key of its content" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cell": {"hash": None}}, "cell.hash: a cell has 64 hexadecimal digits"),
        ({"cell": {"hash": "../../etc"}}, "cell.hash: a cell has 64 hexadecimal digits"),
        ({"cell": {"kind": "baseline"}}, "cell.hash: a baseline has none"),
        ({"primary": "accuracy"}, "primary: 'accuracy' is not among its metrics (f1)"),
        ({"cell": {"name": "<script>"}}, "cell.name"),
        ({"configuration": {"rate": float("nan")}}, "configuration"),
        ({"metrics": {"f1": {"value": float("inf")}}}, "metrics.f1.value"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(tmp_path, change, expected):
    content = record()
    _update(content, change)
    put(tmp_path, "wrong.json", content)
    message = refusal(tmp_path)
    assert "wrong.json" in message
    assert expected in message


def _update(content, change):
    for name, value in change.items():
        if isinstance(value, dict) and isinstance(content.get(name), dict):
            _update(content[name], value)
        else:
            content[name] = value


def test_a_copy_counts_once(tmp_path):
    one = write(tmp_path / "one", record())
    again = copy.deepcopy(record(package="2.14.0"))
    again["timing"]["total_seconds"] = 99.0
    again["created"] = "2026-05-05T00:00:00+00:00"
    again["history"][0]["seconds"] = 3.0
    again["environment"]["processor"] = "another processor"
    two = write(tmp_path / "two", again)
    collection = collect([one, two])
    assert len(collection.records) == 1
    assert collection.repeats == 1
    assert collection.records[0].environment.processor == "a processor"


def test_contradicting_results_name_both_files_and_the_values(tmp_path):
    one = write(tmp_path / "one", record(metrics={"f1": 50.0}))
    two = write(tmp_path / "two", record(metrics={"f1": 51.0}), record("gru"))
    message = refusal(one, two)
    for text in (str(one), str(two), "metrics.f1 is 50.0 there and 51.0 here", "small-ner, lstm, seed 0"):
        assert text in message
    skipped = collect([one, two], skip_bad=True)
    assert [r.cell.name for r in skipped.records] == ["gru"], "neither of the two is taken for right"
    assert len(skipped.faults) == 1


def test_a_third_file_does_not_settle_a_contradiction(tmp_path):
    folders = [
        write(tmp_path / str(n), record(metrics={"f1": value})) for n, value in enumerate((1.0, 2.0, 1.0))
    ]
    write(tmp_path / "0", record("gru"))
    assert [r.cell.name for r in collect(folders, skip_bad=True).records] == ["gru"]


def test_files_are_left_as_they_are(tmp_path):
    write(tmp_path, record())
    put(tmp_path, "cut.json", "{")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    refusal(tmp_path)
    collect([tmp_path], skip_bad=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["</script><script>", "\ud800", "\x00", "|", "__proto__", "9" * 64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["</script><script>", "<!--", "\x00\x1b[31m", "a|b\nc", "]]>", "\ud7ff\uffff"]
)
LIKE = {
    str: TEXTS,
    int: st.integers(0, 10**400),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    dict: st.dictionaries(TEXTS, TEXTS, max_size=3),
}


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_change_gives_a_board_or_one_clear_message(tmp_path, data):
    content = record(genotype="h = tanh(x)")
    places = list(_places(content))
    for _ in range(data.draw(st.integers(1, 2))):
        place, name = data.draw(st.sampled_from(places))
        place[name] = data.draw(st.one_of(JSON_VALUES, *[LIKE.get(type(place[name]), JSON_VALUES)] * 3))
    if data.draw(st.booleans()):
        content["key"] = _key(content)
    path = tmp_path / "fuzzed.json"
    path.write_text(json.dumps(signed(content) if data.draw(st.booleans()) else content))
    try:
        collection = collect([path])
    except RecordError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert str(path) in message
        return
    try:
        board = build_board(collection, "fuzzed")
    except RecordError as error:
        message = str(error)
    if message:
        # One record that has no value, or is of another purpose than a result, makes no board.
        assert message.startswith(
            ("no record has a result", "every record is a trial", "every record is a confirmation")
        )
        return
    for text in (render_html(board), render_markdown(board, "x.svg"), all_pictures(board.tables)):
        text.encode()


def _places(content):
    for name, value in content.items():
        yield content, name
        if isinstance(value, dict):
            yield from _places(value)


def _key(content):
    from pydantic import ValidationError

    from tasks.runs.record import RunRecord
    from tasks.runs.record_key import key_of

    try:
        return key_of(RunRecord.model_validate(content))
    except (ValidationError, ValueError):
        return content["key"]


def test_a_link_to_itself_is_named(tmp_path):
    write(tmp_path / "all", record("lstm", 0))
    for folder in (tmp_path / "all", tmp_path / "all" / "records"):
        (folder / "self.json").symlink_to("self.json")
    collection = collect([tmp_path / "all"], skip_bad=True)
    assert len(collection.records) == 1
    assert {fault.path.name for fault in collection.faults} == {"self.json"}


def test_items_are_taken_from_the_copy_that_has_them(tmp_path):
    one, two = (write(tmp_path / name, record()) for name in ("one", "two"))
    for folder in (one, two):
        (path,) = (folder / "records").glob("*.json")
        (path.parent / record()["items"]["file"]).write_text("{}\n")
    (one / "records" / record()["items"]["file"]).unlink()
    (items,) = collect([one, two]).items.values()
    assert items.parent == two / "records"
