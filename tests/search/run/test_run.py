"""A search as a run: events, checkpoint, record, cell file; exact resumption when stopped or killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
import tomllib

import pytest
import torch
from fake_search import FakeMethod, events_of, folder_of, search, toy
from run_search import start

import cellzoo
from cellzoo.errors import CellzooError, OutputError, RunError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from search.run.request import request_search
from tasks.runs.record_file import read_record
from tasks.training.events import read_events


def records(out):
    return [read_record(path) for path in sorted((out / "records").glob("*.json"))]


def without_seconds(found):
    content = tomllib.loads(found.read_text())
    notes = json.loads(content.pop("notes"))
    del notes["search_seconds"]
    return content, notes


def test_a_search_leaves_events_a_cell_and_a_record(tmp_path):
    plan = toy(tmp_path)
    report = search(plan, tmp_path / "out", seeds=(5,))
    events = read_events(folder_of(tmp_path / "out") / "events.jsonl")
    assert [event["event"] for event in events if event["event"] != "step"] == ["start", *["epoch"] * 3, "end"]
    epochs = [event for event in events if event["event"] == "epoch"]
    wanted = {"epoch", "step", "train_loss", "validation_loss", "dev", "entropy", "deviation", "cell"}
    wanted |= {"temperature", "learning_rate", "reward", "seconds", "seconds_dev", "peak_memory"}
    for event in epochs:
        assert wanted <= set(event)
    assert [event["temperature"] for event in epochs] == [5.0, 5.0 - 4 / 3, 5.0 - 8 / 3]
    assert epochs[0]["dev"]["loss"] > epochs[-1]["dev"]["loss"]
    (record,) = records(tmp_path / "out")
    assert record.key == plan.job(5).key
    assert record.configuration["method_settings"]["walk"] == 0.3
    assert record.configuration["problem_settings"]["hidden_size"] == 8
    assert record.metrics["dev_error"].value == epochs[-1]["dev"]["error"]
    assert record.metrics["dev_loss"].value == epochs[-1]["dev"]["loss"]
    assert record.metrics["seconds_search"].value == pytest.approx(sum(record.timing.seconds.values()))
    assert record.facts["search steps"] == 12
    end = events[-1]["cell"]
    assert any(end["genotype"] in note and end["hash"][:12] in note for note in record.notes)
    items = (tmp_path / "out" / "records" / record.items.file).read_text()
    assert json.loads(items) == {"split": "dev", **end}
    assert report.best.cell.hash == end["hash"]


def test_the_cell_file_says_where_the_cell_comes_from(tmp_path):
    plan = toy(tmp_path)
    report = search(plan, tmp_path / "out", seeds=(5,))
    entry = cellzoo.entry(report.path)
    assert cellzoo.load(report.path).hash == events_of(tmp_path / "out")[-1]["cell"]["hash"] == entry.cell.hash
    assert entry.notation == "darts"
    provenance = json.loads(entry.notes)
    assert provenance["search"] == plan.job(5).key
    assert (provenance["seed"], provenance["task"], provenance["epochs"]) == (5, "sums", 3)
    assert provenance["method_settings"] == plan.config.method_settings
    assert "fake-tiny-" in entry.source
    assert "seed 5" in entry.source
    assert entry.searched_on.startswith("sums (")
    own = folder_of(tmp_path / "out") / "found.toml"
    assert own.read_bytes() == report.path.read_bytes()


@pytest.mark.parametrize("stop_at", [1, 4, 5, 11, "end"])
def test_a_stopped_search_goes_on_exactly(tmp_path, stop_at):
    whole = search(toy(tmp_path), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(toy(tmp_path), tmp_path / "part", stop_at=stop_at)
    assert not (tmp_path / "part" / "found.toml").exists()
    assert not records(tmp_path / "part")
    torch.manual_seed(7)
    part = search(toy(tmp_path), tmp_path / "part")
    assert events_of(tmp_path / "part") == events_of(tmp_path / "whole")
    assert without_seconds(part.path) == without_seconds(whole.path)
    assert records(tmp_path / "part")[0].key == records(tmp_path / "whole")[0].key


def test_a_finished_search_is_left_as_it_is(tmp_path):
    search(toy(tmp_path), tmp_path / "out")

    def content():
        return {
            p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file() and "lock" not in p.name
        }

    before = content()
    search(toy(tmp_path), tmp_path / "out", stop_at=1)
    assert content() == before


def test_another_seed_gives_another_course_and_the_global_generator_is_left_alone(tmp_path):
    torch.manual_seed(9)
    before = torch.get_rng_state()
    search(toy(tmp_path), tmp_path / "first", seeds=(1,))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    search(toy(tmp_path), tmp_path / "again", seeds=(1,))
    search(toy(tmp_path), tmp_path / "other", seeds=(2,))
    first, again, other = (events_of(tmp_path / name) for name in ("first", "again", "other"))
    assert first == again
    assert first[1:] != other[1:]


def test_several_searches_share_a_folder_and_the_best_on_dev_is_named(tmp_path):
    report = search(toy(tmp_path), tmp_path / "out", seeds=(0, 1, 2))
    values = {one.seed: one.record.metrics["dev_error"].value for one in report.found}
    assert report.best.seed == min(values, key=values.get)
    assert "best-of-3" in cellzoo.entry(report.path).name
    search(toy(tmp_path, walk=0.4), tmp_path / "out")
    assert len(list((tmp_path / "out" / "searches").iterdir())) == 4


def test_killed_in_the_midst_of_an_epoch_and_gone_on_in_another_process(tmp_path):
    plan = toy(tmp_path, sequences=2048)
    search(plan, tmp_path / "whole")
    task = ("--on", tmp_path / "sums.toml", "--preset", tmp_path / "tiny.toml", "--set", "sequences=2048")
    process = start("fake_search:METHOD", *task, "--device", "cpu", "--out", tmp_path / "killed")
    for _ in range(10_000):
        logs = list((tmp_path / "killed").glob("searches/*/events.jsonl"))
        if logs and '"event": "step", "epoch": 2' in logs[0].read_text():
            break
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    assert not (tmp_path / "killed" / "found.toml").exists()
    wait_for_workers(tmp_path / "killed")
    search(plan, tmp_path / "killed")
    assert events_of(tmp_path / "killed") == events_of(tmp_path / "whole")
    found = [without_seconds(tmp_path / name / "found.toml") for name in ("killed", "whole")]
    assert found[0] == found[1]


def wait_for_workers(out):
    """A worker ends when it sees that its parent is gone; until then it may still write."""
    before = None
    while before != (now := [path.stat().st_size for path in out.rglob("*.jsonl")]):
        before = now
        time.sleep(0.5)


def test_two_commands_in_one_folder(tmp_path):
    class Second:
        def __getattr__(self, name):
            return lambda *arguments: None

        def started(self, job):
            search(toy(tmp_path), tmp_path / "out")

    with pytest.raises(OutputError, match="another run is writing to it"):
        search(toy(tmp_path), tmp_path / "out", listener=Second())


def stopped(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(toy(tmp_path), tmp_path / "out", stop_at=6)
    return folder_of(tmp_path / "out") / "checkpoint.safetensors"


def test_a_checkpoint_of_another_search_or_version(tmp_path):
    path = stopped(tmp_path)
    kept, (tensors, content) = path.read_bytes(), read_tensors(path)
    for change, message in (
        ({"identity": "b" * 64}, "belongs to another run"),
        ({"format": 99}, "another version of cellzoo"),
        ({"standing": {**content["standing"], "epoch": "3"}}, r"standing\.epoch is malformed"),
        ({"learner": {"steps": "many"}}, "not one of this method"),
    ):
        write_tensors(path, tensors, {**content, **change})
        with pytest.raises(RunError, match=message):
            search(toy(tmp_path), tmp_path / "out")
    path.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(RunError, match="is not a complete safetensors file"):
        search(toy(tmp_path), tmp_path / "out")
    path.write_bytes(kept)
    search(toy(tmp_path), tmp_path / "out")


SMALL = {
    "darts": {"nodes": 2},
    "random-ws": {"nodes": 2, "candidates": 2, "candidates_an_epoch": 1},
    "enas": {"nodes": 2, "candidates": 2, "controller_steps": 1, "controller_samples": 1},
}
ODD = [None, 10**30, -1, "x", [], {}, [[1]], 0.5, {"a": {"b": 1}}]


@pytest.mark.parametrize("method", SMALL)
def test_changed_states_are_one_message(tmp_path, method):
    """For any content of a saved state: a failure that names the file, or a search; never a traceback."""
    toy(tmp_path)
    (tmp_path / "own.toml").write_text(f"epochs = 1\n[methods.{method}]\n")
    plan = request_search(
        method, str(tmp_path / "sums.toml"), preset=str(tmp_path / "own.toml"), changes=SMALL[method]
    )
    search(plan, tmp_path / "out")
    path = folder_of(tmp_path / "out") / "checkpoint.safetensors"
    tensors, content = read_tensors(path)
    source, messages = random.Random(1), []
    for _ in range(25):
        shutil.rmtree(tmp_path / "out" / "records")
        changed = json.loads(json.dumps(content))
        place = changed[source.choice(["learner", "standing"])]
        for _ in range(source.randrange(4)):
            inner = [value for value in place.values() if isinstance(value, dict) and value]
            place = source.choice(inner) if inner else place
        place[source.choice(list(place))] = source.choice(ODD)
        write_tensors(path, tensors, changed)
        try:
            search(plan, tmp_path / "out")
        except RunError as error:
            messages.append(str(error))
    assert len(messages) > 5
    for message in messages:
        assert "checkpoint.safetensors: " in message
        assert "details" not in message


def test_events_that_someone_cut(tmp_path):
    stopped(tmp_path)
    events = folder_of(tmp_path / "out") / "events.jsonl"
    events.write_bytes(events.read_bytes()[:100])
    with pytest.raises(RunError, match="has 100 bytes"):
        search(toy(tmp_path), tmp_path / "out")


def test_a_record_without_its_cell_is_refused(tmp_path):
    search(toy(tmp_path), tmp_path / "out")
    items = next((tmp_path / "out" / "records").glob("*.items.jsonl"))
    items.write_text("[" * 10_000)
    with pytest.raises(CellzooError, match=r"items\.jsonl: sha256 is"):
        search(toy(tmp_path), tmp_path / "out")


def test_a_cell_that_ignores_its_nodes_is_noted(tmp_path, monkeypatch):
    flat = cellzoo.parse("Genotype(recurrent=[('tanh', 0), ('relu', 0)], concat=range(1, 3))", "darts")
    monkeypatch.setattr(FakeMethod, "derive", lambda self: flat)
    report = search(toy(tmp_path), tmp_path / "out")
    assert "no node reads another" in json.loads(cellzoo.entry(report.path).notes)["warning"]
    assert all("warning" in e["cell"] for e in events_of(tmp_path / "out") if e["event"] in ("epoch", "end"))
    assert any("no node reads another" in note for note in records(tmp_path / "out")[0].notes)


def test_the_key_depends_on_everything(tmp_path):
    base = toy(tmp_path)
    keys = {base.job(0).key, base.job(1).key}
    for change in ({"walk": 0.4}, {"hidden_size": 9}, {"epochs": 9}, {"data_seed": 6}):
        keys.add(toy(tmp_path, **change).job(0).key)
    assert len(keys) == 6


def test_seeds_that_cannot_be(tmp_path):
    with pytest.raises(CellzooError, match="no seed was given"):
        search(toy(tmp_path), tmp_path / "out", seeds=())
    with pytest.raises(CellzooError, match="seed 4294967296"):
        search(toy(tmp_path), tmp_path / "out", seeds=(2**32,))
    assert not (tmp_path / "out").exists()
