"""A search in its directory: events, checkpoints, kill and resume, and the cell file in the end."""

from __future__ import annotations

import errno
import json
import math
import os
import resource
import signal
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
import torch
from fake_search import TEXT, tag_plan, text_plan, write_text

import cellzoo
from cellzoo import atomic
from cellzoo.errors import CellzooError, DataError, OutputError, RunError
from search.run import loop
from search.run.configuration import Configuration, read_configuration
from search.run.directory import RunDirectory
from search.run.events import EventLog, read_events, without_times
from search.run.listener import Silent
from search.run.loop import run_search
from search.run.measures import beliefs, deviation, entropy
from search.run.prepare import request_plan, resume_plan
from tasks.tensor_file import read_tensors, write_tensors

HERE = Path(__file__).parent


def search(plan, folder, listener=None):
    directory = RunDirectory(folder)
    run_search(plan, directory, listener or Silent())
    return directory


def stop_after(count):
    """A listener that stops the search within the step of that number, over all epochs."""

    class Stop(Silent):
        def __init__(self):
            self.steps = 0

        def step(self, step, numbers):
            self.steps += 1
            if self.steps == count:
                raise KeyboardInterrupt

    return Stop()


def events_of(directory):
    return without_times(read_events(directory.events))


def test_a_search_leaves_configuration_events_checkpoint_and_cell(tmp_path):
    plan = text_plan(tmp_path)
    directory = search(plan, tmp_path / "out")
    assert read_configuration(directory.configuration)[0] == plan.configuration
    events = read_events(directory.events)
    assert [event["event"] for event in events if event["event"] != "step"] == ["start", *["epoch"] * 3, "end"]
    epochs = [event for event in events if event["event"] == "epoch"]
    wanted = {"epoch", "step", "train_loss", "validation_loss", "validation", "entropy", "deviation", "cell"}
    wanted |= {"temperature", "learning_rate", "seconds", "peak_memory"}
    for event in epochs:
        assert wanted <= set(event)
        assert math.isclose(math.exp(event["validation"]["loss"]), event["validation"]["perplexity"])
    assert [event["temperature"] for event in epochs] == [5.0, 5.0 - 4 / 3, 5.0 - 8 / 3]
    steps = [event["step"] for event in events if event["event"] == "step"]
    assert steps == sorted(set(steps))
    assert epochs[-1]["step"] >= steps[-1]
    assert epochs[0]["validation"]["loss"] > epochs[-1]["validation"]["loss"]
    assert all(event["peak_memory"] > 1_000_000 for event in epochs)
    assert sorted(event["seconds"] for event in events) == [event["seconds"] for event in events]


def test_the_cell_file_says_where_the_cell_comes_from(tmp_path):
    plan = text_plan(tmp_path, seed=5)
    directory = search(plan, tmp_path / "out")
    end = read_events(directory.events)[-1]
    entry = cellzoo.entry(directory.found)
    assert cellzoo.load(directory.found).hash == end["cell"]["hash"] == entry.cell.hash
    assert entry.notation == "darts"
    provenance = json.loads(entry.notes)
    assert provenance["sha256"] == dict(plan.configuration.sha256)
    assert provenance["search"] == plan.configuration.identity
    assert (provenance["seed"], provenance["method"]) == (5, "fake")
    assert "seed 5" in entry.source
    assert "aaaaaaaaaaaa, changed" in entry.source
    assert tomllib.loads(directory.found.read_text())["searched_on"].startswith("text:words.txt")


def test_a_search_on_tags_writes_the_same_kinds_of_events(tmp_path):
    directory = search(tag_plan(character_size=4, bidirectional=True), tmp_path)
    epochs = [event for event in read_events(directory.events) if event["event"] == "epoch"]
    assert [set(event["validation"]) for event in epochs] == [{"loss", "accuracy", "f1"}] * 2
    assert directory.found.exists()


@pytest.mark.parametrize("stop", [1, 20, 21, 45, 60])
def test_a_stopped_search_goes_on_exactly(tmp_path, stop):
    whole = search(text_plan(tmp_path), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(text_plan(tmp_path), tmp_path / "part", stop_after(stop))
    assert not (tmp_path / "part" / "found.toml").exists()
    torch.manual_seed(stop)
    part = search(text_plan(tmp_path), tmp_path / "part")
    assert events_of(part) == events_of(whole)
    assert without_seconds(part.found) == without_seconds(whole.found)


def test_a_search_on_tags_goes_on_exactly(tmp_path):
    whole = search(tag_plan(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(tag_plan(), tmp_path / "part", stop_after(11))
    part = search(tag_plan(), tmp_path / "part")
    assert events_of(part) == events_of(whole)


def without_seconds(found):
    content = tomllib.loads(found.read_text())
    notes = json.loads(content.pop("notes"))
    del notes["search_seconds"]
    return content, notes


def test_a_finished_search_is_left_as_it_is(tmp_path):
    directory = search(text_plan(tmp_path), tmp_path / "out")
    before = {path.name: path.read_bytes() for path in directory.path.iterdir()}
    search(text_plan(tmp_path), tmp_path / "out")
    assert {path.name: path.read_bytes() for path in directory.path.iterdir()} == before


def test_another_seed_gives_another_course_and_the_global_generator_is_left_alone(tmp_path):
    torch.manual_seed(9)
    before = torch.get_rng_state()
    first = search(text_plan(tmp_path, seed=1), tmp_path / "first")
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again = search(text_plan(tmp_path, seed=1), tmp_path / "again")
    other = search(text_plan(tmp_path, seed=2), tmp_path / "other")
    assert events_of(first) == events_of(again)
    assert events_of(first)[1:] != events_of(other)[1:]


SCRIPT = """\
import os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from fake_search import text_plan
from search.run.directory import RunDirectory
from search.run.listener import Silent
from search.run.loop import run_search

class Killer(Silent):
    steps = 0
    def step(self, step, numbers):
        self.steps += 1
        if self.steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
run_search(text_plan(folder), RunDirectory(folder / sys.argv[3]), Killer())
"""


def test_killed_in_the_midst_of_an_epoch_and_gone_on_in_another_process(tmp_path):
    write_text(tmp_path / "words.txt")
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent)])}

    def start(kill_at, name):
        command = [sys.executable, str(script), str(tmp_path), str(kill_at), name]
        return subprocess.run(command, env=environment, timeout=120, check=False).returncode

    assert start(0, "whole") == 0
    assert start(30, "killed") == -signal.SIGKILL
    killed = RunDirectory(tmp_path / "killed")
    assert killed.checkpoint.exists()
    assert not killed.found.exists()
    assert start(0, "killed") == 0
    whole = RunDirectory(tmp_path / "whole")
    assert events_of(killed) == events_of(whole)
    assert without_seconds(killed.found) == without_seconds(whole.found)


def test_two_commands_in_one_directory(tmp_path):
    class Second(Silent):
        def begin(self, *arguments):
            search(text_plan(tmp_path), tmp_path / "out")

    with pytest.raises(OutputError, match="another run is writing to it"):
        search(text_plan(tmp_path), tmp_path / "out", Second())


def test_a_directory_of_another_search(tmp_path):
    search(text_plan(tmp_path), tmp_path / "out")
    with pytest.raises(DataError, match=r"another configuration \(seed: 0 there, 1 here\)"):
        search(text_plan(tmp_path, seed=1), tmp_path / "out")
    with pytest.raises(DataError, match=r"method_settings\.spread: 0\.3 there, 0\.4 here"):
        search(text_plan(tmp_path, spread=0.4), tmp_path / "out")


def test_a_checkpoint_of_another_search_or_version(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(text_plan(tmp_path, seed=1), tmp_path / "one", stop_after(30))
    with pytest.raises(KeyboardInterrupt):
        search(text_plan(tmp_path, seed=2), tmp_path / "two", stop_after(30))
    one, two = (tmp_path / name / "checkpoint.safetensors" for name in ("one", "two"))
    kept = one.read_bytes()
    one.write_bytes(two.read_bytes())
    with pytest.raises(DataError, match="belongs to a search of another configuration"):
        search(text_plan(tmp_path, seed=1), tmp_path / "one")
    one.write_bytes(kept)
    tensors, content = read_tensors(one)
    write_tensors(one, tensors, {**content, "format": 99})
    with pytest.raises(DataError, match=r"another version of cellzoo \(format 99; this version has 1\)"):
        search(text_plan(tmp_path, seed=1), tmp_path / "one")
    one.write_bytes(kept[: len(kept) // 2])
    with pytest.raises(DataError, match="is no complete safetensors file"):
        search(text_plan(tmp_path, seed=1), tmp_path / "one")
    one.write_bytes(kept)
    settings = tmp_path / "one" / "configuration.json"
    settings.write_text(settings.read_text().replace('"format": 1', '"format": 7'))
    with pytest.raises(DataError, match="format 7"):
        search(text_plan(tmp_path, seed=1), tmp_path / "one")


def test_events_that_someone_cut(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        search(text_plan(tmp_path), tmp_path / "out", stop_after(30))
    events = tmp_path / "out" / "events.jsonl"
    events.write_bytes(events.read_bytes()[:100])
    with pytest.raises(DataError, match="has 100 bytes"):
        search(text_plan(tmp_path), tmp_path / "out")


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    plan = text_plan(tmp_path, diverge_at=50)
    with pytest.raises(RunError) as caught:
        search(plan, tmp_path / "out")
    message = str(caught.value)
    assert "the training loss is nan" in message
    assert "the checkpoint of epoch 2 is kept" in message
    steps = [
        event["step"] for event in read_events(tmp_path / "out" / "events.jsonl") if event["event"] == "epoch"
    ]
    assert f"stopped at epoch 3, step {50 - steps[-1]}" in message
    content = read_tensors(tmp_path / "out" / "checkpoint.safetensors")[1]
    assert content["standing"]["epoch"] == 2
    with pytest.raises(RunError, match="there is no checkpoint yet"):
        search(text_plan(tmp_path, diverge_at=3), tmp_path / "early")


def test_an_evaluation_that_is_no_number_stops_too(tmp_path, monkeypatch):
    plan = text_plan(tmp_path)
    monkeypatch.setattr(plan.prepared.objective, "evaluate", lambda model: {"loss": math.nan})
    with pytest.raises(RunError, match="stopped at the end of epoch 1: validation_loss is nan"):
        search(plan, tmp_path / "out")


def test_running_statistics_that_give_no_number_stop_nothing(tmp_path, monkeypatch):
    changes = {"epochs": 2, "normalisation": "running", "nodes": 2, **TEXT, "min_count": 1, "train_words": 200}
    write_text(tmp_path / "book.txt")
    plan = request_plan("darts", str(tmp_path / "book.txt"), device="cpu", changes=changes)
    monkeypatch.setattr(
        plan.prepared.objective, "evaluate", lambda model: {"loss": math.nan, "perplexity": math.nan}
    )
    directory = search(plan, tmp_path / "out")
    epochs = [event for event in read_events(directory.events) if event["event"] == "epoch"]
    assert [event["validation"] for event in epochs] == [{"loss": None, "perplexity": None}] * 2
    assert cellzoo.load(directory.found)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("objective", "taging", "unknown objective 'taging'.*tagging"),
        ("objective", ["tagging"], "objective is no str"),
    ],
)
def test_a_configuration_changed_by_hand_is_refused(tmp_path, key, value, message):
    changes = {"epochs": 1, "epochs_each": 1, "nodes": 2, **TEXT, "min_count": 1, "train_words": 200}
    write_text(tmp_path / "book.txt")
    plan = request_plan("random", str(tmp_path / "book.txt"), device="cpu", changes=changes)
    directory = search(plan, tmp_path / "out")
    content = json.loads(directory.configuration.read_text())
    content["configuration"][key] = value
    directory.configuration.write_text(json.dumps(content))
    with pytest.raises(CellzooError, match=message):
        resume_plan(*read_configuration(directory.configuration))


def test_random_search_goes_on_after_an_evaluation_that_is_no_number(tmp_path, monkeypatch):
    changes = {"epochs": 2, "epochs_each": 1, "nodes": 2, **TEXT, "min_count": 1, "train_words": 200}
    write_text(tmp_path / "book.txt")
    plan = request_plan("random", str(tmp_path / "book.txt"), device="cpu", changes=changes)
    objective = plan.prepared.objective
    real, calls = objective.evaluate, []

    def first_is_lost(model):
        calls.append(model)
        return {"loss": math.nan, "perplexity": math.nan} if model is calls[0] else real(model)

    monkeypatch.setattr(objective, "evaluate", first_is_lost)
    epochs = [e for e in read_events(search(plan, tmp_path / "out").events) if e["event"] == "epoch"]
    assert epochs[0]["validation"] == {"loss": None, "perplexity": None}
    assert epochs[1]["validation"]["loss"] > 0.0
    calls.clear()
    monkeypatch.setattr(objective, "evaluate", lambda model: {"loss": math.nan, "perplexity": math.nan})
    with pytest.raises(RunError, match="no cell had a finite loss"):
        search(plan, tmp_path / "all")


@pytest.mark.parametrize(("epochs", "expected"), [(2, "such as 3"), (4, "such as 3 or 6")])
def test_random_search_needs_the_epochs_of_whole_cells(tmp_path, epochs, expected):
    changes = {"epochs": epochs, "epochs_each": 3, "nodes": 2, **TEXT, "min_count": 1, "train_words": 200}
    write_text(tmp_path / "book.txt")
    plan = request_plan("random", str(tmp_path / "book.txt"), device="cpu", changes=changes)
    with pytest.raises(CellzooError, match=f"epochs is {epochs}, but each cell .* {expected}$"):
        search(plan, tmp_path / "out")


def test_memory_that_ends_is_one_message(tmp_path, monkeypatch):
    plan = text_plan(tmp_path)
    monkeypatch.setattr(plan.prepared.objective, "evaluate", lambda model: torch.empty(10**15))
    with pytest.raises(RunError, match="memory ran out"):
        search(plan, tmp_path / "out")


def test_a_full_disk_below_the_event_log_names_the_file(tmp_path):
    """A limit on the size of files is a full disk that closing the file meets again."""
    log = EventLog(tmp_path / "events.jsonl")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OutputError, match=r"events\.jsonl: cannot be written"):
            log.write({"event": "step", "text": "x" * 2000})
        log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_at_a_checkpoint_loses_nothing(tmp_path, monkeypatch):
    whole = search(text_plan(tmp_path), tmp_path / "whole")
    real, written = atomic.os.fsync, []

    def full(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".tmp":
            written.append(descriptor)
            if len(written) == 5:  # configuration, holder of the lock, two checkpoints: the third is the fifth
                raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OutputError) as caught:
        search(text_plan(tmp_path), tmp_path / "out")
    assert "checkpoint.safetensors: cannot be written: No space left on device" in str(caught.value)
    assert read_tensors(tmp_path / "out" / "checkpoint.safetensors")[1]["standing"]["epoch"] == 2
    assert not list((tmp_path / "out").glob("*.tmp"))
    monkeypatch.setattr(atomic.os, "fsync", real)
    part = search(text_plan(tmp_path), tmp_path / "out")
    assert events_of(part) == events_of(whole)


def test_a_full_disk_at_an_event(tmp_path, monkeypatch):
    def full(self, kind, **content):
        raise OutputError("events.jsonl: cannot be written: No space left on device")

    monkeypatch.setattr(loop._Search, "_note", full)
    with pytest.raises(OutputError, match="No space left"):
        search(text_plan(tmp_path), tmp_path / "out")


def test_measures_of_beliefs():
    uniform, sure = torch.full((5,), 0.2), torch.tensor([1.0, 0, 0, 0, 0])
    assert math.isclose(entropy([uniform]), math.log(5), rel_tol=1e-6)
    assert entropy([sure]) == 0.0
    assert deviation([uniform]) == pytest.approx(0.0, abs=1e-7)
    assert deviation([sure]) == pytest.approx((0.8 + 4 * 0.2) / 5)
    both = beliefs({"cell": [uniform], "past": [sure, torch.tensor([0.5, 0.5])]})
    assert both["deviation"] == pytest.approx((0.0 + 1.6 + 0.0) / 12)
    assert both["entropy_by_group"] == {
        "cell": pytest.approx(math.log(5)),
        "past": pytest.approx(math.log(2) / 2),
    }
    assert beliefs({}) == {}


def test_the_identity_depends_on_everything(tmp_path):
    base = text_plan(tmp_path).configuration
    content = vars(base)
    changes = {
        "method": "x",
        "method_settings": {},
        "objective_settings": {},
        "data": "y",
        "sha256": {},
        "epochs": 9,
        "seed": 3,
        "device": "cuda",
        "threads": 2,
        "version": "9",
    }
    identities = {Configuration(**{**content, name: value}).identity for name, value in changes.items()}
    assert len(identities | {base.identity}) == len(changes) + 1
