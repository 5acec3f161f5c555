"""The run record: what its key depends on, and how faults in a file are told."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys

import pytest
from board_records import record
from hypothesis import given
from hypothesis import strategies as st

from cellzoo.errors import RecordError
from tasks.runs.record import RunRecord
from tasks.runs.record_file import encode_record, read_record
from tasks.runs.record_key import record_key

NAMES = st.text("abcdefgh-", min_size=1, max_size=8)
PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
CONFIGURATIONS = st.dictionaries(NAMES, PLAIN | st.lists(PLAIN, max_size=3), max_size=5)
DATA = st.dictionaries(
    NAMES, st.dictionaries(NAMES, st.text("0123456789abcdef", min_size=8, max_size=8), max_size=3)
)
PARTS = st.fixed_dictionaries(
    {
        "task": NAMES,
        "revision": st.integers(1, 9),
        "subject": NAMES,
        "configuration": CONFIGURATIONS,
        "data": DATA,
        "seed": st.integers(0, 2**32 - 1),
    }
)


def backwards(value):
    """The same mappings, filled in the opposite order."""
    if isinstance(value, dict):
        return {key: backwards(item) for key, item in reversed(value.items())}
    return value


@given(PARTS)
def test_the_key_does_not_depend_on_the_order_of_mappings(parts):
    key = record_key(**parts)
    assert key == record_key(**backwards(parts))
    assert len(bytes.fromhex(key)) == 32


@given(PARTS, PARTS)
def test_keys_are_equal_only_if_all_parts_are(one, other):
    equal = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (record_key(**one) == record_key(**other)) is equal


@given(PARTS, st.data())
def test_a_change_of_any_one_part_changes_the_key(parts, data):
    part = data.draw(st.sampled_from(sorted(parts)))
    changed = data.draw(PARTS.map(lambda other: other[part]))
    if json.dumps(changed, sort_keys=True) != json.dumps(parts[part], sort_keys=True):
        assert record_key(**{**parts, part: changed}) != record_key(**parts)


def test_the_key_is_the_same_in_every_process_and_version():
    code = (
        "from tasks.runs.record_key import record_key;"
        "print(record_key(task='t', revision=1, subject='s', configuration={'b': 0.1, 'a': [1, None]},"
        " data={'d': {'train': 'ff'}}, seed=3))"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    }
    text = (
        '{"configuration":{"a":[1,null],"b":0.1},"data":{"d":{"train":"ff"}},'
        '"revision":1,"seed":3,"subject":"s","task":"t"}'
    )
    assert outputs == {hashlib.sha256(text.encode()).hexdigest()}


@pytest.fixture
def content():
    return record("lstm", metrics={"score": 1.5, "loss": 0.25})


def test_a_record_survives_writing_and_reading(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(encode_record(RunRecord.model_validate(content)))
    assert read_record(path).model_dump(mode="json") == content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["metrics"]["score"].update(value=99.9), "digest: does not fit the content"),
        (lambda c: c["history"].append({"epoch": 2}), "digest: does not fit the content"),
        (lambda c: c.update(digest="0" * 64), "digest: does not fit the content"),
        (lambda c: c.pop("digest"), "digest: is missing"),
        (lambda c: c["history"].append({"loss": math.nan}), "should be a finite number"),
    ],
)
def test_an_edited_result_is_found_by_its_digest(tmp_path, content, change, words):
    path = tmp_path / "a.json"
    path.write_bytes(encode_record(RunRecord.model_validate(content)))
    edited = json.loads(path.read_text())
    change(edited)
    path.write_text(json.dumps(edited))
    with pytest.raises(RecordError, match=words):
        read_record(path)


def test_comparable_leaves_out_times_alone(content):
    first = RunRecord.model_validate(content)
    later = {
        **content,
        "created": "2030-01-01T00:00:00+00:00",
        "timing": {"seconds": {"train": 9.0}, "total_seconds": 9.0, "tokens_per_second": 1.0},
        "history": [{**epoch, "seconds": 99.0} for epoch in content["history"]],
    }
    assert RunRecord.model_validate(later).comparable() == first.comparable()
    assert RunRecord.model_validate({**content, "tokens": 1}).comparable() != first.comparable()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema_version": 99}, "schema_version is 99; this version reads 1"),
        ({"seed": "one"}, "seed: Input should be a valid integer"),
        ({"seed": -1}, "seed: Input should be greater than or equal to 0"),
        ({"surprise": 1}, "surprise: Extra inputs are not permitted"),
        ({"key": "abc"}, "key: String should match"),
        ({"metrics": {}}, "metrics: Dictionary should have at least 1 item"),
        ({"primary": "speed"}, "primary: 'speed' is not among its metrics (loss, score)"),
        (
            {"items": {"file": "../../etc/passwd", "sha256": "0" * 64, "count": 1}},
            "items.file: String should match",
        ),
        ({"seed": "1"}, "seed: Input should be a valid integer (found '1')"),
        ({"seed": 1.5}, "seed: Input should be a valid integer"),
        ({"cell": {**record()["cell"], "name": "../up"}}, "cell.name: String should match"),
        (
            {"cell": {**record()["cell"], "hash": None}},
            "cell.hash: a cell has 64 hexadecimal digits (found None)",
        ),
        (
            {"cell": {**record(baseline=True)["cell"], "hash": "0" * 64}},
            "cell.hash: a baseline has none (found '0000",
        ),
    ],
)
def test_a_fault_is_named_with_file_place_and_value(tmp_path, content, change, words):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(RecordError) as caught:
        read_record(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_a_missing_field_is_named(tmp_path, content):
    del content["flops_per_token"]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match="flops_per_token: Field required"):
        read_record(path)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (b"", "is not complete JSON"),
        (b"[]", "is JSON but not a run record"),
        (b"3", "is JSON but not a run record"),
        (b'{"a": 1}', "is JSON but not a run record"),
        (b"\xff", "is not UTF-8 text"),
        (b"[" * 100_000, "is not complete JSON"),
        (b"1" * 10_000, "is not complete JSON"),
        (b'{"a":' * 90 + b"1" + b"}" * 90, "nested deeper than"),
        (b'{"schema_version": 1, "metrics": {"f1": {"value": 1e308}}}', "metrics.f1.value is 1e+308"),
        (b'{"schema_version": 1, "history": [{"loss": -1e150}]}', "history.0.loss is -1e+150"),
        (b'{"schema_version": 1, "tokens": 1' + b"0" * 200 + b"}", "tokens is 1000"),
        (b'{"schema_version": 1, "timing": {"total_seconds": NaN}}', "timing.total_seconds is nan"),
        (b'{"schema_version": 1, "notes": ["\\ud800"]}', "holds half a character"),
        (b'{"schema_version": 1, "configuration": {"\\udfff": 1}}', "holds half a character"),
    ],
)
def test_a_foreign_file_is_one_message(tmp_path, written, words):
    path = tmp_path / "a.json"
    path.write_bytes(written)
    with pytest.raises(RecordError) as caught:
        read_record(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


WHOLE = json.dumps(record())


@given(st.integers(0, len(WHOLE) - 1))
def test_a_record_cut_off_anywhere_is_one_message(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("cut") / "a.json"
    path.write_text(WHOLE[:length])
    with pytest.raises(RecordError, match="is not complete JSON"):
        read_record(path)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("seed",), 7),
        (("task", "revision"), 2),
        (("task", "name"), "other"),
        (("cell", "hash"), "0" * 64),
        (("configuration", "epochs"), 400),
        (("data", "corpus", "sha256", "test"), "d" * 64),
        (("key",), "e" * 64),
    ],
)
def test_an_edited_record_is_found_by_its_key(tmp_path, content, where, value):
    place = content
    for name in where[:-1]:
        place = place[name]
    place[where[-1]] = value
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match="is not the key of its content"):
        read_record(path)
