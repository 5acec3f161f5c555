"""Searches that must stop: losses that are not finite, out of memory, full disks."""

from __future__ import annotations

import errno
import math
from pathlib import Path

import pytest
import torch
from fake_search import events_of, folder_of, search, toy
from sequence_sums import SequenceSums

import cellzoo
from cellzoo.errors import OutputError, RunError
from cellzoo.system import atomic
from cellzoo.system.tensor_file import read_tensors
from tasks.problem import Evaluation
from tasks.runs.record_file import read_record


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    with pytest.raises(RunError) as caught:
        search(toy(tmp_path, diverge_at=10), tmp_path / "out")
    message = str(caught.value)
    assert "stopped at epoch 3, step 2: the training loss is nan" in message
    assert "the checkpoint of epoch 2 is kept" in message
    content = read_tensors(folder_of(tmp_path / "out") / "checkpoint.safetensors")[1]
    assert content["standing"]["epoch"] == 2
    with pytest.raises(RunError, match="there is no checkpoint yet"):
        search(toy(tmp_path, diverge_at=3), tmp_path / "early")


def lost(self, model, split, report=None):
    return Evaluation({"loss": math.nan, "error": math.nan})


def test_an_evaluation_that_is_not_finite_stops_too(tmp_path, monkeypatch):
    monkeypatch.setattr(SequenceSums, "evaluate", lost)
    with pytest.raises(RunError, match="stopped at the evaluation after epoch 1: the loss on dev is nan"):
        search(toy(tmp_path, "darts"), tmp_path / "out")


def test_running_statistics_that_give_no_number_stop_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(SequenceSums, "evaluate", lost)
    report = search(toy(tmp_path, "darts", normalisation="running"), tmp_path / "out")
    epochs = [event for event in events_of(tmp_path / "out") if event["event"] == "epoch"]
    assert [event["dev"] for event in epochs] == [{"loss": None, "error": None}] * 3
    assert cellzoo.load(report.path)
    (record,) = [read_record(path) for path in (tmp_path / "out" / "records").glob("*.json")]
    assert set(record.metrics) == {"seconds_search", "gigaflops_search"}
    assert any("undefined" in note for note in record.notes)


def test_memory_that_ends_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr(SequenceSums, "evaluate", lambda *arguments: torch.empty(10**12, 10**12))
    with pytest.raises(RunError, match="memory ran out"):
        search(toy(tmp_path), tmp_path / "out")


def test_a_full_disk_at_a_checkpoint_loses_nothing(tmp_path, monkeypatch):
    search(toy(tmp_path), tmp_path / "whole")
    real, written = atomic.os.fsync, []

    def full(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".tmp":
            if list((tmp_path / "out").glob("searches/*/checkpoint.safetensors")):
                written.append(descriptor)
            if len(written) == 2:  # the third checkpoint
                raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(
        OutputError, match=r"checkpoint\.safetensors: cannot be written: No space left on device"
    ):
        search(toy(tmp_path), tmp_path / "out")
    content = read_tensors(folder_of(tmp_path / "out") / "checkpoint.safetensors")[1]
    assert content["standing"]["epoch"] == 2
    assert not list((tmp_path / "out").rglob("*.tmp"))
    monkeypatch.setattr(atomic.os, "fsync", real)
    search(toy(tmp_path), tmp_path / "out")
    assert events_of(tmp_path / "out") == events_of(tmp_path / "whole")
