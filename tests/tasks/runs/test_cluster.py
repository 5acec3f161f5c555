"""Runs on a Ray cluster: what a worker checks and hands back, messages, and the same records as elsewhere."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from dataclasses import replace
from importlib.util import find_spec

import pytest

from cellzoo.errors import CellzooError, RunError
from tasks.data.locate import find
from tasks.runs import run_suite
from tasks.runs.environment import describe_code, describe_environment
from tasks.runs.events import Failure
from tasks.runs.execute import RunSetup
from tasks.runs.executors.cluster import require_answer
from tasks.runs.executors.remote import (
    Shipment,
    Worker,
    difference,
    equipment,
    file_digests,
    missing_data,
    unpack,
)
from tasks.runs.lock import HOLDER
from tasks.runs.record_file import read_record
from tasks.runs.run import ExecutorSettings, request_plan
from tasks.runs.store import RecordStore
from tasks.runs.threads import thread_variables

FAKE = "fake_task:Fake"
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")


def shipped(out, holder=b"mine", **settings):
    plan = request_plan(FAKE, ["lstm"], 1, data=None, settings=settings)
    if out.exists():
        RecordStore(out).prepare()
    setup = RunSetup(out, "cpu", describe_code(), describe_environment("cpu", 1))
    return Shipment(plan.jobs[0], setup, holder, {})


@pytest.fixture
def worker(monkeypatch):
    for name in thread_variables(1):
        monkeypatch.setenv(name, "1")
    return Worker(1)


def test_a_worker_that_sees_the_folder_writes_there(tmp_path, worker):
    (tmp_path / HOLDER).write_bytes(b"mine")
    delivery = worker.do(shipped(tmp_path))
    assert delivery.files == {}
    (path,) = (tmp_path / "records").glob("*[0-9a-f].json")
    assert read_record(path) == delivery.result
    fraction, words, silence = worker.progress()
    assert (fraction, words) == (1.0, "epoch 2")
    assert 0 <= silence < 60


@pytest.mark.parametrize("there", [None, b"another command's"])
def test_a_worker_elsewhere_hands_the_files_over(there, tmp_path, worker):
    """The same record and items as where it writes itself; nothing stays on its machine."""
    out, other, here = tmp_path / "out", tmp_path / "other", tmp_path / "here"
    for folder in (out, other, here):
        folder.mkdir()
    if there:
        (out / HOLDER).write_bytes(there)
    delivery = worker.do(shipped(out))
    assert sorted(path.name for path in out.iterdir()) == (["records", HOLDER] if there else ["records"])
    assert list(delivery.files)[-1].endswith(".json")
    unpack(delivery, here)
    (other / HOLDER).write_bytes(b"mine")
    expected = worker.do(shipped(other)).result
    (path,) = (here / "records").glob("*[0-9a-f].json")
    assert read_record(path).comparable() == expected.comparable()
    items = here / "records" / expected.items.file
    assert hashlib.sha256(items.read_bytes()).hexdigest() == expected.items.sha256
    assert [file.suffix for file in (here / "artifacts").iterdir()] == [".txt"]


def test_failures_elsewhere_stop_no_other_run(tmp_path, worker):
    found = worker.do(shipped(tmp_path / "gone", fault="full")).result
    assert isinstance(found, Failure)
    assert not found.stops_all
    assert "No space left" in found.message


def test_machines_are_compared():
    ours = equipment()
    assert difference(ours, replace(ours, host="far")) == ""
    others = replace(ours, packages={**ours.packages, "torch": "1.0"})
    assert difference(ours, others).startswith("torch 1.0, and here is ")
    lacking = {name: version for name, version in ours.packages.items() if name != "scipy"}
    assert difference(ours, replace(ours, packages=lacking)).startswith("scipy none, and here is ")
    assert difference(ours, replace(ours, code="0" * 64)).startswith("other code of cellzoo (00000000")
    assert difference(ours, replace(ours, python="2.7")).startswith("Python 2.7, and here is 3.")


def test_data_are_compared(tmp_path, worker):
    text = tmp_path / "mine.txt"
    text.write_text("a b\n" * 30)
    files = file_digests([find("text:mine.txt", tmp_path)])
    assert files == {str(text): hashlib.sha256(text.read_bytes()).hexdigest()}
    assert missing_data(files) == ""
    gone = {str(tmp_path / "gone.txt"): "0" * 64}
    assert missing_data(gone).endswith("gone.txt is not there; every machine needs the data in the same place")
    assert "holds something else" in missing_data({str(text): "0" * 64})
    (tmp_path / HOLDER).write_bytes(b"mine")
    found = worker.do(replace(shipped(tmp_path), files=gone)).result
    assert "gone.txt is not there" in found.message


@pytest.mark.parametrize("address", ["nowhere", "host:", ":1", "a:99999999", "ray://a:1", "a:b"])
def test_what_is_no_address(address):
    with pytest.raises(CellzooError, match="expected HOST:PORT of a running Ray cluster"):
        require_answer(address)


def test_an_address_that_does_not_answer():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    begin = time.monotonic()
    with pytest.raises(RunError, match=f"{address}: no Ray cluster answers"):
        require_answer(address)
    assert time.monotonic() - begin < 10


def test_an_address_needs_ray():
    with pytest.raises(CellzooError, match="it needs executor 'ray'"):
        ExecutorSettings(address="a:1").check()


@needs_ray
@pytest.mark.slow
def test_the_same_records(tmp_path, monkeypatch):
    """A worker that dies costs its run alone, and the next command does it."""
    cells = ["lstm", "gru", "indrnn"]
    import fake_task

    monkeypatch.setenv("PYTHONPATH", fake_task.__file__.rpartition("/")[0])

    def go(executor, **settings):
        return run_suite(
            FAKE,
            cells,
            2,
            out=tmp_path / executor,
            executor=executor,
            workers=2,
            device="cpu",
            settings=settings,
        )

    first = go("ray", fault="die-once", victim="gru-1")
    assert len(first.records) == 5
    (failure,) = first.failures
    assert "was lost" in failure.message
    second = go("ray", fault="die-once", victim="gru-1")
    assert not second.failures
    assert second.made == 1
    expected = go("serial", fault="die-once", victim="nobody")
    assert [record.metrics for record in second.records] == [record.metrics for record in expected.records]
    assert json.loads((tmp_path / "ray" / "records" / second.records[0].items.file).read_text().splitlines()[0])
