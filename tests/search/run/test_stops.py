"""Searches that cannot go on: losses that are no number, full memory, full disks."""

from __future__ import annotations

import errno
import json
import math
import resource
from pathlib import Path

import pytest
import torch
from fake_search import TEXT, events_of, search, text_plan, write_text
from search.run.configuration import read_configuration
from search.run.events import EventLog, read_events
from search.run.prepare import request_plan, resume_plan

import cellzoo
from cellzoo.errors import CellzooError, OutputError, RunError
from cellzoo.system import atomic
from cellzoo.system.tensor_file import read_tensors
from search.run import loop


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
    with pytest.raises(CellzooError, match=f"epochs is {epochs}, but each cell .* {expected}$"):
        request_plan("random", str(tmp_path / "book.txt"), device="cpu", changes=changes)


@pytest.mark.parametrize("size", [(10**15,), (10**12, 10**12)])
def test_memory_that_ends_is_one_message(tmp_path, monkeypatch, size):
    plan = text_plan(tmp_path)
    monkeypatch.setattr(plan.prepared.objective, "evaluate", lambda model: torch.empty(size))
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
